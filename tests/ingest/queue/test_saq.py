"""SAQ on both servers: what is offered is done, in its lane, again after a failure, and by others if a worker dies."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from ingest.queue.config import PostgresQueueConfig, RedisQueueConfig
from ingest.queue.saq import SaqQueue, Task, open_queue
from ingest.queue.task import Beat, TryAgain
from rag.base.errors import Unavailable
from rag.base.secret import Secret
from tests.servers import postgres_server, redis_server

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.filterwarnings("ignore:Call to deprecated"),  # SAQ uses commands that redis-py 8 would do without
]


@pytest.fixture(scope="module", params=["redis", "postgres"])
def config(request: pytest.FixtureRequest) -> Iterator[RedisQueueConfig | PostgresQueueConfig]:
    if request.param == "redis":
        with redis_server() as url:
            yield RedisQueueConfig(url=Secret(url), upload_slots=2, backfill_slots=1, lease_s=3.0)
    else:
        with postgres_server() as url:
            yield PostgresQueueConfig(url=Secret(url), upload_slots=2, backfill_slots=1, lease_s=3.0)


@pytest.fixture
async def queue(config: RedisQueueConfig | PostgresQueueConfig) -> AsyncIterator[SaqQueue]:
    async with open_queue(replace(config, name=f"test-{secrets.token_hex(4)}")) as opened:
        yield opened


class Notes:
    """Notes what it was given; `failures` is how often each attempt fails first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.seen: list[str] = []
        self.changed = asyncio.Event()

    async def __call__(self, identifier: str, beat: Beat) -> None:
        self.seen.append(identifier)
        self.changed.set()
        await beat()
        if self.failures:
            self.failures -= 1
            raise TryAgain("the store is away")

    async def until(self, n_seen: int) -> None:
        while len(self.seen) < n_seen:
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def working(queue: SaqQueue, task: Task) -> AsyncIterator[None]:
    work = asyncio.create_task(queue.work(task, drain_s=5.0))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait({work})


async def test_what_is_offered_is_done(queue: SaqQueue) -> None:
    notes = Notes()
    for identifier in ("a1", "a2", "a1"):
        await queue.offer(identifier, "upload")
    await queue.offer("b1", "backfill")
    async with working(queue, notes):
        await notes.until(3)
    assert set(notes.seen) == {"a1", "a2", "b1"}


async def test_a_failed_attempt_is_made_again_after_a_pause(queue: SaqQueue, caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes(failures=1)
    await queue.offer("c1", "upload")
    async with working(queue, notes):
        await notes.until(2)
    assert set(notes.seen) == {"c1"}
    assert "Traceback" not in caplog.text, "that there is another attempt is no news"


async def test_an_upload_does_not_wait_behind_a_backfill(queue: SaqQueue) -> None:
    gate, seen = asyncio.Event(), Notes()

    async def slow(identifier: str, beat: Beat) -> None:
        if identifier.startswith("bulk"):
            await gate.wait()
        await seen(identifier, beat)

    for number in range(20):
        await queue.offer(f"bulk{number}", "backfill")
    await queue.offer("mine", "upload")
    async with working(queue, slow):
        await seen.until(1)
        assert seen.seen == ["mine"]
        gate.set()
        await seen.until(21)


async def test_work_that_gives_no_sign_of_life_is_given_out_again(queue: SaqQueue) -> None:
    taken, notes = asyncio.Event(), Notes()

    async def hang_once(identifier: str, beat: Beat) -> None:
        if not taken.is_set():
            taken.set()
            await asyncio.Event().wait()
        await notes(identifier, beat)

    await queue.offer("d1", "upload")
    async with working(queue, hang_once):
        await notes.until(1)
    assert set(notes.seen) == {"d1"}


async def test_a_queue_that_is_not_there_is_unavailable() -> None:
    async with open_queue(RedisQueueConfig(url=Secret("redis://127.0.0.1:1/0"))) as queue:
        with pytest.raises(Unavailable):
            await queue.offer("a", "upload")
