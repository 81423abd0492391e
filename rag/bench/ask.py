"""`/ask` over a collection: the service with a simulated provider behind it, and with nothing to compute."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.bench.corpus import read_questions
from rag.bench.gateway import simulated_provider
from rag.bench.load.plan import Request
from rag.bench.pace import Asking
from rag.bench.process import HOST, RAG, Server, free_port, started
from rag.bench.search import PATIENT, service
from rag.bench.upstream.script import Script

STUBBED = "stubbed"
PEERS = (STUBBED,)
ANSWER = "The first source says what was asked [1]."

_SETTINGS = """
[answer]
model = "bench"
[models.bench]
kind = "openai"
base_url = "http://{host}:{port}/v1"
model = "bench"
max_connections = 1000
"""


class Setup(Struct, frozen=True, kw_only=True):
    """What is asked of what. `index` is a data folder with the collection in it."""

    collection: Path
    index: Path
    stream: bool
    first_token_s: float = 0.0
    tokens_per_s: float = 0.0


@asynccontextmanager
async def serving(setup: Setup, peers: Sequence[str]) -> AsyncIterator[list[Server]]:
    """The service first, then the peers, all ready."""
    script = Script(text=ANSWER, first_token_s=setup.first_token_s, tokens_per_s=setup.tokens_per_s)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundwire-bench-")))
        provider = await stack.enter_async_context(simulated_provider(script, folder))
        settings = folder / "rag.toml"
        settings.write_text(_SETTINGS.format(host=HOST, port=provider.port), encoding="utf-8")
        servers = [await stack.enter_async_context(service(setup.index, {"RAG_CONFIG": str(settings), **PATIENT}))]
        if STUBBED in peers:
            servers.append(await stack.enter_async_context(_stubbed(setup, folder)))
        yield servers


def asking(setup: Setup) -> Callable[[Server], Asking]:
    """The questions of the collection; no answer is taken from memory, and one that was degraded is not a good one."""
    bodies = [
        {"question": question, "cache": "off", **({"stream": True} if setup.stream else {})}
        for question in read_questions(setup.collection)
    ]
    asked = Asking(
        requests=tuple(Request(path="/ask", body=msgspec.json.encode(body).decode()) for body in bodies),
        contains='"degraded":[]',
        first="event: token" if setup.stream else "",
    )
    return lambda _: asked


@asynccontextmanager
async def _stubbed(setup: Setup, folder: Path) -> AsyncIterator[Server]:
    copy = folder / "copy"
    shutil.copytree(setup.index, copy, ignore=shutil.ignore_patterns("server.json", "*.lock"))
    port = free_port()
    command = (*RAG, "--data-dir", str(copy), "bench", "peer", STUBBED, "--port", str(port))
    async with started(
        STUBBED, command, port, ready="/readyz", environ={"RAG_CONFIG": os.devnull, **PATIENT}
    ) as server:
        yield server
