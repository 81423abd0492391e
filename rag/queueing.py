"""The queue as one: the desk where servers hand documents in, and the workers that index them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from ingest.library import Library
from ingest.queue.config import NoQueueConfig, PostgresQueueConfig, RedisQueueConfig
from ingest.queue.desk import Desk
from ingest.queue.task import IndexingTask
from ingest.queue.upkeep import Upkeep
from rag.base.errors import ConfigError
from rag.records.database import open_database
from rag.settings import Settings

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ingest.queue.saq import SaqQueue


class Shift(Struct, frozen=True, kw_only=True):
    """A worker, ready to begin."""

    task: IndexingTask
    upkeep: Upkeep
    queue: "SaqQueue"
    drain_s: float

    async def work(self) -> None:
        """Indexes what is handed in until it is cancelled; then it returns when what is under way has ended."""
        upkeep = asyncio.create_task(self.upkeep.run())
        try:
            await self.queue.work(self.task, drain_s=self.drain_s)
        finally:
            upkeep.cancel()
            await asyncio.wait({upkeep})


@asynccontextmanager
async def open_desk(settings: Settings, library: Library) -> AsyncIterator[Desk | None]:
    """The desk, or None where who hands a document in waits for it. Raises ConfigError, Unavailable."""
    if isinstance(settings.queue, NoQueueConfig):
        yield None
        return
    async with _open_queue(settings.queue) as queue, open_database(settings.records, settings.data_dir) as database:
        yield Desk(library, database, queue.offer)


@asynccontextmanager
async def open_shift(settings: Settings, library: Library) -> AsyncIterator[Shift]:
    """A worker that indexes into an open library. Raises ConfigError, Unavailable."""
    config = settings.queue
    if isinstance(config, NoQueueConfig):
        raise ConfigError("a worker needs a queue to take documents from; set queue.kind", path="queue.kind")
    async with _open_queue(config) as queue, open_database(settings.records, settings.data_dir) as database:
        yield Shift(
            task=IndexingTask(library, database, config),
            upkeep=Upkeep(database, queue.offer),
            queue=queue,
            drain_s=settings.limits.drain_s,
        )


def _open_queue(config: RedisQueueConfig | PostgresQueueConfig) -> "AbstractAsyncContextManager[SaqQueue]":
    kind = config.__struct_config__.tag
    try:
        from ingest.queue.saq import open_queue

        return open_queue(config)
    except ImportError as missing:
        raise ConfigError(
            f"queue.kind = '{kind}' needs extras: pip install 'groundwire[queue,{kind}]'", path="queue.kind"
        ) from missing
