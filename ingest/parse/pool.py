"""Parser processes, so that a file which hangs, crashes or swells costs nothing but itself."""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
from msgspec import Struct

from ingest.config import IngestConfig
from ingest.parse.parsed import Parsed
from ingest.parse.wire import LENGTH, OUT_OF_MEMORY, Refused, Reply, Request, frame
from rag.base.errors import PermanentIngestError, TransientIngestError

FILES_PER_WORKER = 1000
"""After so many files a process is replaced: what a parser leaks goes with it."""

_ROOT = Path(__file__).parent.parent.parent
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class ParserPool:
    """At most `config.n_parsers` processes, started when they are needed; use as a context manager."""

    def __init__(self, config: IngestConfig, *, module: str = "ingest.parse.worker") -> None:
        self._config = config
        self._module = module
        self._permits = asyncio.Semaphore(config.n_parsers)
        self._idle: list[_Worker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            await self._idle.pop().end()

    async def parse_file(self, path: str) -> Parsed:
        """The text of a file. Raises PermanentIngestError, TransientIngestError."""
        encoded = os.fsencode(path)
        name = os.path.basename(encoded).decode("utf-8", "replace")  # noqa: PTH119 - a Path takes no bytes
        return await self._parse(self._request(name=name, path=encoded))

    async def parse_bytes(self, data: bytes, name: str) -> Parsed:
        """The text of a file that is not on disk; `name` says of what type it is."""
        return await self._parse(self._request(name=name, data=data))

    def _request(self, *, name: str, path: bytes | None = None, data: bytes | None = None) -> Request:
        limits = self._config
        return Request(
            name=name,
            path=path,
            data=data,
            max_bytes=limits.max_file_bytes,
            max_chars=limits.max_text_chars,
            timeout_s=limits.parse_timeout_s,
        )

    async def _parse(self, request: Request) -> Parsed:
        async with self._permits:
            reply = await self._ask(self._idle.pop() if self._idle else await self._start(), request)
            if isinstance(reply, _Died) and not reply.was_fresh:
                # It may have been a file before this one that left too little memory, or none in order.
                reply = await self._ask(await self._start(), request)
        if isinstance(reply, _Died):
            raise PermanentIngestError(reply.reason)
        if isinstance(reply, Refused):
            raise (TransientIngestError if reply.transient else PermanentIngestError)(reply.reason)
        return reply.parsed

    async def _start(self) -> "_Worker":
        return await _Worker.start(self._module, self._config)

    async def _ask(self, worker: "_Worker", request: Request) -> "Reply | _Died":
        """The reply, after which the process is idle again, or why it is no more."""
        try:
            async with asyncio.timeout(self._config.parse_timeout_s):
                reply = await worker.ask(request)
        except TimeoutError as error:
            await worker.end()
            limit_s = self._config.parse_timeout_s
            raise PermanentIngestError(f"parsing it took more than the {limit_s:g} s of parse_timeout_s") from error
        except (asyncio.IncompleteReadError, ConnectionError):
            return _Died(await worker.cause_of_death(), worker.n_files == 1)
        except BaseException:
            await worker.end()
            raise
        if reply == Refused(reason=OUT_OF_MEMORY):
            await worker.end()
            return _Died(OUT_OF_MEMORY, worker.n_files == 1)
        if worker.n_files >= FILES_PER_WORKER:
            await worker.end()
        else:
            self._idle.append(worker)
        return reply


class _Died(Struct, frozen=True):
    reason: str
    was_fresh: bool


class _Worker:
    """One process, for one file at a time."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._errors = errors
        self.n_files = 0

    @classmethod
    async def start(cls, module: str, config: IngestConfig) -> "_Worker":
        # Of the environment only what Python needs: a process that reads hostile files is given no secrets.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        environment = kept | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])}
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, str(config.parse_memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        return cls(process, errors)

    async def ask(self, request: Request) -> Reply:
        """The reply. Raises IncompleteReadError or ConnectionError when the process is gone."""
        self.n_files += 1
        self._stdin.write(frame(request))
        await self._stdin.drain()
        header = await self._stdout.readexactly(LENGTH.size)
        return _REPLIES.decode(await self._stdout.readexactly(LENGTH.unpack(header)[0]))

    async def end(self) -> None:
        """Kills the process and waits until it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        await self._process.wait()
        self._errors.close()

    async def cause_of_death(self) -> str:
        """Why the process ended by itself, as far as can be told."""
        code = await self._process.wait()
        self._errors.seek(0)
        said = self._errors.read(2**16).decode("utf-8", "replace")
        await self.end()
        if "memory allocation of" in said or "MemoryError" in said:
            return OUT_OF_MEMORY
        how = f"with {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the parser crashed over it {how}"
