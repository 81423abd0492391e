"""A worker dies at each point of an update, and another one ends it when the lease has run out."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from ingest.queue.config import WorkConfig
from ingest.queue.task import IndexingTask
from rag.base.ports import IndexedDocument
from rag.records.config import SqliteConfig
from rag.records.connection import Connection
from rag.records.database import Database, open_database
from tests.fake_store import MemoryStore
from tests.indexing import content
from tests.ingest.queue.conftest import MANAGER, House

LEASE_S = 30.0
MIN_POINTS = 12
OLD, NEW = "the cat sat on a mat", "a cat sat on the mat"
Result = TypeVar("Result")


class Death(BaseException):
    """The process ends here, with all that it would have done at its end."""


class Life:
    """Ends at a point; whoever lives on afterwards is another process."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.passed: list[str] = []

    def pass_point(self, name: str) -> None:
        if self.left is None:
            return
        if len(self.passed) == self.left:
            raise Death(name)
        self.passed.append(name)


class DyingDatabase:
    """The records, with a point before and after each work."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        name = work.func.__name__ if isinstance(work, partial) else work.__name__
        self._life.pass_point(f"before {name}")
        result = await self._database.run(work)
        self._life.pass_point(f"after {name}")
        return result


class DyingStore(MemoryStore):
    """A store with a point before and after each write."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        self._life.pass_point("before put")
        await super().put(documents)
        self._life.pass_point("after put")


async def beat() -> None:
    """Nobody listens."""


async def update(database: Database, lives: int) -> tuple[list[str], bool, dict[str, object]]:
    """The points that were passed, whether the worker died, and what the store holds when another one was done."""
    life = Life()
    house = House(database, DyingStore(life))
    assert await house.work(house.worker(), await house.hand_in("wiki:cat", OLD))
    submission = await house.hand_in("wiki:cat", NEW)
    life.left, died = lives, False
    mortal = IndexingTask(
        house.library,
        DyingDatabase(database, life),  # type: ignore[arg-type]  # a stand-in
        WorkConfig(lease_s=LEASE_S),
        clock=house.clock,
    )
    try:
        await mortal(submission.id, beat)
    except Death:
        died = True
    life.left = None
    assert await house.library.text(MANAGER, submission.document_id) in (OLD, NEW)
    house.clock.now_s += LEASE_S + 1
    assert await house.work(house.worker(), submission)
    state, attempts, _ = await house.state(submission)
    assert (state, attempts in (1, 2)) == ("searchable", True)
    return life.passed, died, await content(house.store)


async def test_whichever_point_it_dies_at_another_worker_ends_the_update_as_undisturbed(tmp_path: Path) -> None:
    endings = []
    for lives in count():
        async with open_database(SqliteConfig(), tmp_path / str(lives)) as database:
            passed, died, held = await update(database, lives)
        endings.append(held)
        if not died:
            break
    assert len(passed) >= MIN_POINTS, passed
    assert {"after take", "before put", "after put"} < set(passed)
    assert all(held == endings[-1] for held in endings)
