"""A desk and workers over a store in memory and SQLite, with a simulated clock and a queue that only takes notes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest.draft import Draft
from ingest.library import Library
from ingest.queue.config import WorkConfig
from ingest.queue.desk import Desk
from ingest.queue.task import IndexingTask, TryAgain
from ingest.queue.upkeep import Upkeep
from rag.base.errors import Unavailable
from rag.base.ports import Embedder
from rag.base.types import Access
from rag.govern.access import managed_in
from rag.records.config import SqliteConfig
from rag.records.database import Database, open_database
from rag.records.submissions import Lane, Submission
from tests.fake_store import MemoryStore
from tests.indexing import TENANT, an_indexer

MANAGER = managed_in(TENANT)


class Clock:
    """Time that passes when someone sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class House:
    """All of it; `offered` is what the queue was told."""

    def __init__(self, database: Database, store: MemoryStore | None = None, embedder: Embedder | None = None) -> None:
        self.database = database
        self.store = store or MemoryStore()
        self.library = Library(an_indexer(self.store, embedder), self.store)
        self.clock = Clock()
        self.offered: list[tuple[str, Lane]] = []
        self.away = False
        self.desk = Desk(self.library, database, self.offer, clock=self.clock, sleep=self.clock.sleep)
        self.upkeep = Upkeep(database, self.offer, clock=self.clock, sleep=self.clock.sleep)

    async def offer(self, identifier: str, lane: Lane) -> None:
        if self.away:
            raise Unavailable("the queue is away")
        self.offered.append((identifier, lane))

    def worker(self, **config: float) -> IndexingTask:
        """Renewing waits for real time, which does not pass here: leases do not end while a test works."""
        settings = WorkConfig(**{"attempts": 3, "lease_s": 30.0} | config)
        return IndexingTask(self.library, self.database, settings, clock=self.clock)

    async def hand_in(self, uri: str, text: str, *, access: Access = MANAGER, lane: Lane = "upload") -> Submission:
        return await self.desk.hand_in(access, Draft(uri=uri, text=text), lane)

    async def state(self, submission: Submission) -> tuple[str, int, str]:
        found = await self.desk.of(MANAGER, submission.document_id)
        assert found is not None
        return found.state, found.attempts, found.reason

    async def work(self, task: IndexingTask, submission: Submission) -> bool:
        """Whether it came to its end; else it is to be tried again."""

        async def beat() -> None:
            pass

        try:
            await task(submission.id, beat)
        except TryAgain:
            return False
        return True


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(SqliteConfig(), tmp_path) as opened:
        yield opened


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
