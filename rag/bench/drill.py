"""A drill with the real thing: three providers, the server, steady streams; then something is done to one of them."""

import asyncio
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import msgspec
from msgspec import Struct

from rag.bench.process import HOST, RAG, Server, free_port, started
from rag.bench.upstream.script import Book, Script
from rag.govern.keys import hash_of

Harm = Literal["killed", "slowed", "limited", "reloaded"]

OUT_WITHIN_S: Final = 3.0
BACK_WITHIN_S: Final = 15.0
N_CLIENTS: Final = 12

_TARGETS: Final = ("a", "b", "c")
_WELL: Final = Script(n_tokens=10, first_token_s=0.1, tokens_per_s=100)
_HARMED: Final[dict[Harm, Script]] = {
    "slowed": Script(n_tokens=10, first_token_s=0.5, tokens_per_s=20),
    "limited": Script(fault="rate_limit", retry_after="2"),
}
_TOKEN: Final = "gw_drill0_for-a-drill-only"  # noqa: S105 - opens a server that lives for one drill
_HEADERS: Final = {"authorization": f"Bearer {_TOKEN}"}
_KEYS: Final = (
    '[auth]\nkeys = [{{id = "drill0", hash = "{hash}", subject = "drill", scopes = ["admin", "operator"]}}]\n'
)
_MODEL: Final = (
    '[models.{name}]\nkind = "openai"\nbase_url = "http://{host}:{port}/v1"\nmodel = "{name}"\nidle_timeout_s = 15\n'
)
_ATTEMPTS: Final = re.compile(rb'^rag_llm_attempts_total\{[^}]*target="(\w+)"[^}]*\} ([0-9.e+]+)', re.MULTILINE)


class Schedule(Struct, frozen=True, kw_only=True):
    """When the target is harmed, when it is well again, when it all ends; or how many reloads there are by then."""

    strikes_s: float = 6.0
    heals_s: float = 21.0
    ends_s: float = 41.0
    n_reloads: int = 100


class Told(Struct, frozen=True, kw_only=True):
    """What came of it; `n_failed_late` are failures after the first word.

    The shares are those of the harmed target, of all calls: before, from `OUT_WITHIN_S` after it was struck until it
    heals, and from `BACK_WITHIN_S` after that.
    """

    harm: Harm
    n_answered: int
    n_failed: int
    n_failed_late: int
    shares: tuple[float, float, float] | None = None
    n_reloads: int = 0
    errors: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nobody saw it before the first word, and the target went and came back in time."""
        if self.shares is None:
            return not self.n_failed and not self.n_failed_late
        before, out, back = self.shares
        return not self.n_failed and out < 0.05 and back > before / 2


class _Tally:
    """What clients saw, and how often each target was asked by when."""

    def __init__(self) -> None:
        self.n_answered = self.n_failed = self.n_failed_late = self.n_reloads = 0
        self.errors: list[str] = []
        self.samples: list[tuple[float, dict[str, float]]] = []

    def shares(self, schedule: Schedule) -> tuple[float, float, float]:
        """As `Told` has them."""
        out_s, back_s = schedule.strikes_s + OUT_WITHIN_S, schedule.heals_s + BACK_WITHIN_S
        return (
            self._share(0, schedule.strikes_s),
            self._share(out_s, schedule.heals_s),
            self._share(back_s, schedule.ends_s),
        )

    def _share(self, from_s: float, to_s: float) -> float:
        """The part of the calls between two times that went to the first target."""
        first = next(counts for at_s, counts in self.samples if at_s >= from_s)
        last = next((counts for at_s, counts in self.samples if at_s >= to_s), self.samples[-1][1])
        calls = {name: last.get(name, 0.0) - first.get(name, 0.0) for name in _TARGETS}
        return calls[_TARGETS[0]] / max(1.0, sum(calls.values()))


async def drill(harm: Harm, schedule: Schedule = Schedule()) -> Told:  # noqa: B008 - frozen
    """Runs one drill. Raises Unavailable when a server does not start."""
    tally = _Tally()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundwire-drill-")))
        ports = {name: free_port() for name in _TARGETS}
        providers = [await stack.enter_async_context(_provider(port, folder)) for port in ports.values()]
        file = folder / "rag.toml"
        await asyncio.to_thread(file.write_text, _settings(ports))
        server = await stack.enter_async_context(_server(folder, file))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{HOST}:{server.port}", headers=_HEADERS, timeout=60, trust_env=False)
        )
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(_sample(client, tally, began_s, schedule))
            for _ in range(N_CLIENTS):
                group.create_task(_ask(client, tally, began_s + schedule.ends_s))
            if harm == "reloaded":
                await _reload(client, tally, server, file, schedule)
            else:
                await _strike(
                    harm, providers[0], folder, stack, (began_s + schedule.strikes_s, began_s + schedule.heals_s)
                )
    return Told(
        harm=harm,
        n_answered=tally.n_answered,
        n_failed=tally.n_failed,
        n_failed_late=tally.n_failed_late,
        shares=None if harm == "reloaded" else tally.shares(schedule),
        n_reloads=tally.n_reloads,
        errors=tuple(tally.errors[:5]),
    )


def _settings(ports: dict[str, int]) -> str:
    models = "".join(_MODEL.format(name=name, host=HOST, port=port) for name, port in ports.items())
    targets = ", ".join(f'{{model = "{name}"}}' for name in ports)
    return f"{_KEYS.format(hash=hash_of(_TOKEN))}{models}[routes.r]\ntargets = [{targets}]\n"


@asynccontextmanager
async def _provider(port: int, folder: Path) -> AsyncIterator[Server]:
    script = folder / f"script-{port}.json"
    await asyncio.to_thread(script.write_bytes, msgspec.json.encode(Book(default=_WELL)))
    command = [*RAG, "bench", "upstream", "--port", str(port), "--script", str(script)]
    async with started(f"the provider on port {port}", command, port, ready="/bench/bill") as server:
        yield server


@asynccontextmanager
async def _server(folder: Path, file: Path) -> AsyncIterator[Server]:
    port = free_port()
    command = [*RAG, "--config", str(file), "--data-dir", str(folder / "data"), "serve", "--port", str(port)]
    async with started("groundwire", command, port, ready="/readyz") as server:
        yield server


async def _strike(
    harm: Harm, provider: Server, folder: Path, stack: AsyncExitStack, times: tuple[float, float]
) -> None:
    """Harms the provider from the one time to the other."""
    await _until(times[0])
    if harm == "killed":
        os.kill(provider.pid, signal.SIGKILL)
        await _until(times[1])
        await stack.enter_async_context(_provider(provider.port, folder))
        return
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{provider.port}", trust_env=False) as client:
        await client.put("/bench/scripts", content=msgspec.json.encode(Book(default=_HARMED[harm])))
        await _until(times[1])
        await client.put("/bench/scripts", content=msgspec.json.encode(Book(default=_WELL)))


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))


async def _reload(client: httpx.AsyncClient, tally: _Tally, server: Server, file: Path, schedule: Schedule) -> None:
    """By the file and a signal, and over HTTP, in turns."""
    written = await asyncio.to_thread(file.read_text)
    for number in range(1, schedule.n_reloads + 1):
        if number % 2:
            await asyncio.to_thread(file.write_text, written.replace("= 15", f"= {15 + number}"))
            os.kill(server.pid, signal.SIGHUP)
        else:
            routes = {"r": {"targets": [{"model": name} for name in _TARGETS], "max_attempts": 2 + number % 3}}
            reply = await client.put("/admin/config", json={"routes": routes})
            reply.raise_for_status()
        tally.n_reloads += 1
        await asyncio.sleep(0.9 * schedule.ends_s / schedule.n_reloads)


async def _ask(client: httpx.AsyncClient, tally: _Tally, until_s: float) -> None:
    while time.monotonic() < until_s:
        await _ask_once(client, tally)


async def _ask_once(client: httpx.AsyncClient, tally: _Tally) -> None:
    body: dict[str, Any] = {"model": "r", "stream": True, "messages": [{"role": "user", "content": "Tell me."}]}
    spoke, ended = False, ""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
            async for line in reply.aiter_lines():
                spoke = spoke or '"content":"w' in line
                ended = line if '"error"' in line or line == "data: [DONE]" else ended
    except httpx.HTTPError as error:
        ended = repr(error)
    if ended == "data: [DONE]" and spoke:
        tally.n_answered += 1
        return
    tally.n_failed_late += spoke
    tally.n_failed += not spoke
    tally.errors.append(ended or "it ended without an end")


async def _sample(client: httpx.AsyncClient, tally: _Tally, began_s: float, schedule: Schedule) -> None:
    while time.monotonic() < began_s + schedule.ends_s:
        told = (await client.get("/metrics")).content
        counts: dict[str, float] = {}
        for target, count in _ATTEMPTS.findall(told):
            counts[target.decode()] = counts.get(target.decode(), 0.0) + float(count)
        tally.samples.append((time.monotonic() - began_s, counts))
        await asyncio.sleep(0.25)
