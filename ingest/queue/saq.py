"""SAQ tells workers what to look at: on Redis or PostgreSQL, with heartbeats, pauses between attempts, and two lanes.

A job is the id of a submission and nothing else, so that no text stands in the queue or in its log. What SAQ does not
know is kept by `rag.records.submissions`: see the decision on workers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, assert_never

from saq import Job, Queue, Worker

from ingest.queue.config import PostgresQueueConfig, RedisQueueConfig
from ingest.queue.task import Beat, TryAgain
from rag.base.errors import Unavailable
from rag.records.submissions import Lane

Task = Callable[[str, Beat], Awaitable[None]]

LANES: Final[tuple[Lane, ...]] = ("upload", "backfill")
_FUNCTION: Final = "index"
_WITHOUT_END: Final = 2**31 - 1
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_REMEMBERED_S: Final = 60
"""For how long an ended job is known, in seconds: a round over jobs of dead workers trips over one that is gone."""
_TICK_S: Final = 1.0
"""How long a slot waits for work before it looks whether the worker is to end."""
_CANCEL_AGAIN_S: Final = 0.1


class _Worker(Worker[Any]):
    """SAQ's worker, without its own signals, and without waiting for its rounds when it is to end."""

    SIGNALS: list[Any] = []  # noqa: RUF012 - as SAQ has it
    _rounds: Sequence[asyncio.Task[None]] = ()

    async def upkeep(self) -> list[asyncio.Task[None]]:
        rounds = await super().upkeep()
        self._rounds = rounds
        return rounds

    async def stop(self) -> None:
        self.event.set()
        rounds = {task for task in self._rounds if not task.done()}
        while rounds:  # a round swallows a cancellation, and sleeps
            for task in rounds:
                task.cancel()
            _, rounds = await asyncio.wait(rounds, timeout=_CANCEL_AGAIN_S)
        await super().stop()


class SaqQueue:
    """One of SAQ's queues for each lane. Made by `open_queue`."""

    def __init__(self, lanes: Mapping[Lane, Queue], config: RedisQueueConfig | PostgresQueueConfig) -> None:
        self._lanes = lanes
        self._config = config
        self.name = f"{config.name} on {config.__struct_config__.tag}"

    async def offer(self, identifier: str, lane: Lane) -> None:
        """Tells the workers of a submission, unless they know. Raises Unavailable."""
        job = Job(
            _FUNCTION,
            kwargs={"identifier": identifier},
            key=identifier,
            timeout=0,
            heartbeat=round(self._config.lease_s),
            retries=_WITHOUT_END,
            retry_delay=_FIRST_PAUSE_S,
            retry_backoff=_LONGEST_PAUSE_S,
            ttl=_REMEMBERED_S,
        )
        with _translated():
            await self._lanes[lane].enqueue(job)

    async def work(self, task: Task, *, drain_s: float) -> None:
        """Gives the task what there is to do until it is cancelled; what is under way then has `drain_s` to end."""
        every_s = max(1, round(self._config.lease_s / 6))
        slots = {"upload": self._config.upload_slots, "backfill": self._config.backfill_slots}

        async def index(context: Any, *, identifier: str) -> None:
            await task(identifier, context["job"].update)

        workers = [
            _Worker(
                queue,
                [(_FUNCTION, index)],
                concurrency=slots[lane],
                dequeue_timeout=_TICK_S,
                shutdown_grace_period_s=max(1, round(drain_s)),
                timers={"schedule": 1, "sweep": every_s, "worker_info": every_s, "abort": 1},
            )
            for lane, queue in self._lanes.items()
        ]
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.start())


@asynccontextmanager
async def open_queue(config: RedisQueueConfig | PostgresQueueConfig) -> AsyncIterator[SaqQueue]:
    """The queue, connected. Raises Unavailable."""
    logging.getLogger("saq").setLevel(logging.WARNING)
    logging.getLogger("saq").addFilter(_tells_news)
    async with AsyncExitStack() as stack:
        lanes = {lane: _queue(config, lane) for lane in LANES}
        for queue in lanes.values():
            stack.push_async_callback(_disconnect, queue)
            with _translated():
                await queue.connect()
        yield SaqQueue(lanes, config)


def _queue(config: RedisQueueConfig | PostgresQueueConfig, lane: Lane) -> Queue:
    name = f"{config.name}-{lane}"
    match config:
        case RedisQueueConfig():
            return Queue.from_url(config.url.reveal(), name=name)
        case PostgresQueueConfig():
            slots = config.upload_slots if lane == "upload" else config.backfill_slots
            return Queue.from_url(config.url.reveal(), name=name, min_size=1, max_size=slots + 2)
        case _:
            assert_never(config)


async def _disconnect(queue: Queue) -> None:
    with suppress(Unavailable), _translated():
        await queue.disconnect()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _is_of_the_server(error):
            raise
        raise Unavailable(f"the queue does not answer ({type(error).__name__}); check its url") from error


def _is_of_the_server(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in {
        "redis",
        "psycopg",
        "psycopg_pool",
    }


def _tells_news(record: logging.LogRecord) -> bool:
    """An attempt that is made again is no news: the submission tells why."""
    return not (record.exc_info and isinstance(record.exc_info[1], TryAgain))
