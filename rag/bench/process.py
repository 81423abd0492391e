"""Servers under test and the load on them, each in a process of its own."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from rag.base.errors import Unavailable
from rag.bench.load.figures import Result
from rag.bench.load.plan import Plan
from rag.bench.machine import Usage, usage_of

HOST = "127.0.0.1"
START_TIMEOUT_S = 300.0  # a peer may embed a collection before it answers
STOP_TIMEOUT_S = 20.0
RAG = (sys.executable, "-c", "from rag.cli.main import main; main()")
"""This installation's `rag`, whatever is on the path."""


class Server(Struct, frozen=True, kw_only=True):
    """A server that answers; `version` is what a peer says of itself."""

    name: str
    port: int
    pid: int
    version: str = ""

    def usage(self) -> Usage:
        """What it has used so far."""
        return usage_of(self.pid)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def started(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    ready: str,
    environ: Mapping[str, str] | None = None,
    version: str = "",
) -> AsyncIterator[Server]:
    """Runs the command until the block ends; enters it when `GET ready` answers with 200.

    Raises Unavailable with the last lines of what it said when it ends or does not answer.
    """
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environ or {})}
        )
        try:
            if not await _answers(process, f"http://{HOST}:{port}{ready}"):
                log.seek(0)
                tail = log.read().decode(errors="replace").strip().splitlines()[-8:]
                raise Unavailable("\n".join([f"{name} did not start; it said:", *tail]))
            yield Server(name=name, port=port, pid=process.pid, version=version)
        finally:
            await _end(process)


async def run_command(*command: str, environ: Mapping[str, str] | None = None) -> None:
    """Runs a command to its end, with its output on this terminal. Raises Unavailable when it fails."""
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **(environ or {})})
    if await process.wait():
        raise Unavailable(f"`{' '.join(command[3:])}` ended with {process.returncode}")


async def generated(plan: Plan) -> Result:
    """The load of a plan, from a process of its own. Raises Unavailable when that fails."""
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        file = Path(folder, "plan.json")
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(plan))
        process = await asyncio.create_subprocess_exec(*RAG, "bench", "load", str(file), stdout=asyncio.subprocess.PIPE)
        try:
            said, _ = await process.communicate()
        finally:
            await _end(process)
    if process.returncode:
        raise Unavailable(f"the load generator ended with {process.returncode}")
    return msgspec.json.decode(said, type=Result)


async def _answers(process: asyncio.subprocess.Process, url: str) -> bool:
    ended = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(trust_env=False) as client:
            while not ended.done():
                try:
                    if (await client.get(url)).is_success:
                        return True
                except httpx.HTTPError:
                    pass
                await asyncio.wait({ended}, timeout=0.1)
    except TimeoutError:
        pass
    finally:
        ended.cancel()
    return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
