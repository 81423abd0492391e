"""What the answer cache saves: the same server asked for kept answers, and asked to compute them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import msgspec

from rag.base.errors import Unavailable
from rag.bench import ask
from rag.bench.corpus import read_questions
from rag.bench.load.plan import Request
from rag.bench.pace import Asking
from rag.bench.process import HOST, Server

KEPT, COMPUTED = "from memory", "computed"
N_QUESTIONS = 200
"""All of them are in memory before the first run: one that is not makes a run void."""


@asynccontextmanager
async def serving(setup: ask.Setup) -> AsyncIterator[list[Server]]:
    """One server under two names."""
    async with ask.serving(setup, ()) as (server,):
        yield [msgspec.structs.replace(server, name=name) for name in (KEPT, COMPUTED)]


def asking(setup: ask.Setup) -> Callable[[Server], Asking]:
    """The same questions; by the server's name they may be answered from memory or not."""
    questions = read_questions(setup.collection)[:N_QUESTIONS]

    def asked(mode: str, contains: str) -> Asking:
        bodies = [{"question": question, "cache": mode} for question in questions]
        requests = tuple(Request(path="/ask", body=msgspec.json.encode(body).decode()) for body in bodies)
        return Asking(requests=requests, contains=contains)

    kept, computed = asked("use", '"status":"hit"'), asked("off", '"degraded":[]')
    return lambda server: kept if server.name == KEPT else computed


async def fill(server: Server, setup: ask.Setup) -> None:
    """Puts the answers into memory. Raises Unavailable when one cannot be had."""
    kept = asking(setup)(msgspec.structs.replace(server, name=KEPT)).requests
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{server.port}", timeout=60, trust_env=False) as client:
        for request in kept:
            reply = await client.post(request.path, content=request.body, headers={"content-type": "application/json"})
            if not reply.is_success:
                raise Unavailable(f"the service answered {reply.status_code} while its memory was being filled")
