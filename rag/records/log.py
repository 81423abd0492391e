"""The writer of the request log: it takes a record in no time, and drops it rather than make anyone wait."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from rag.base.errors import for_the_log
from rag.records import requests
from rag.records.config import LogConfig
from rag.records.connection import Connection
from rag.records.database import Database
from rag.records.requests import RequestRecord
from rag.records.sampling import sampled

GATHER_S = 0.1
"""Records of this long share a transaction. Nobody waits for them."""

PRUNE_S = 3600.0
_WRITTEN_AT_ONCE = 1_000

_log = logging.getLogger(__name__)


class RequestLog:
    """Bounded, written by one task of its own. Make it with `open_request_log`."""

    def __init__(self, database: Database, config: LogConfig, on_drop: Callable[[str, int], None]) -> None:
        self._database = database
        self._config = config
        self._on_drop = on_drop
        self._queue: deque[RequestRecord] = deque()
        self._arrived = asyncio.Event()
        self._writing = asyncio.Lock()
        self._pruned_s = float("-inf")
        self._failing = False
        self._writer = asyncio.create_task(self._run(), name="request log")

    def add(self, record: RequestRecord) -> None:
        """Takes a record to be written soon. Never waits, never raises; drops it when too many wait."""
        if len(self._queue) >= self._config.queue_records:
            self._on_drop("full", 1)
            return
        probability, kept = sampled(record, self._config, random.random())  # noqa: S311 - a sample, not a secret
        is_as_it_was = probability == record.probability and kept == record.kept  # a copy costs more than all of this
        self._queue.append(record if is_as_it_was else replace(record, probability=probability, kept=kept))
        self._arrived.set()

    async def flush(self) -> None:
        """Returns when all that was added before is stored, or dropped because it could not be."""
        async with self._writing:
            while self._queue:
                n_records = min(_WRITTEN_AT_ONCE, len(self._queue))
                await self._write([self._queue.popleft() for _ in range(n_records)])

    async def aclose(self) -> None:
        """Ends the writer outside of a transaction, and writes what still waits."""
        async with self._writing:
            self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        await self.flush()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await asyncio.sleep(GATHER_S)
            await self.flush()

    async def _write(self, records: list[RequestRecord]) -> None:
        try:
            await self._database.run(lambda connection: self._store(connection, records))
        except Exception as error:  # noqa: BLE001 - the seam: whatever fails here, requests go on and the log is written on
            self._on_drop("failed", len(records))
            if not self._failing:  # once, not for every batch while the disk is full
                _log.warning("the request log cannot be written: %s", for_the_log(error))
            self._failing = True
        else:
            self._failing = False

    def _store(self, connection: Connection, records: list[RequestRecord]) -> None:
        """In the database's thread: the records, and once an hour what is too old or too much goes."""
        requests.insert(connection, records)
        if time.monotonic() >= self._pruned_s + PRUNE_S:
            self._pruned_s = time.monotonic()
            requests.prune(connection, self._config, time.time())


@asynccontextmanager
async def open_request_log(
    database: Database, config: LogConfig, on_drop: Callable[[str, int], None]
) -> AsyncIterator[RequestLog]:
    """A log with its writer; what waits at the end is written before it closes."""
    log = RequestLog(database, config, on_drop)
    try:
        yield log
    finally:
        await log.aclose()
