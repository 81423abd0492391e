"""A submission is indexed once, whoever looks at it and however often; what cannot be indexed ends with a reason."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from ingest.draft import Draft
from rag.base.errors import BadDependency, GroundwireError, PermanentIngestError, Unavailable
from rag.base.ports import IndexedDocument, Vectors
from rag.base.types import Principal, Role, Work
from rag.govern.access import readable_by
from rag.records import leases, submissions
from rag.records.connection import Connection
from rag.records.database import Database
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, work
from tests.ingest.queue.conftest import MANAGER, House


class FailingStore(MemoryStore):
    """Raises the errors one by one, then stores."""

    def __init__(self, *errors: GroundwireError) -> None:
        super().__init__()
        self.errors = list(errors)
        self.n_puts = 0

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        self.n_puts += 1
        if self.errors:
            raise self.errors.pop(0)
        await super().put(documents)


class GatedEmbedder(HashingEmbedder):
    """Embeds when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.began = asyncio.Event()

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        self.began.set()
        await self.gate.wait()
        return await super().embed(texts, role, work)


async def test_what_was_handed_in_becomes_searchable_and_is_found(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat on a mat")
    assert house.offered == [(submission.id, "upload")]
    assert await house.state(submission) == ("queued", 0, "")
    assert await house.work(house.worker(), submission)
    assert await house.state(submission) == ("searchable", 1, "")
    assert list(await all_records(house.store)) == ["wiki:cat"]


async def test_a_second_look_does_nothing(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")
    store = house.store = FailingStore()
    task = House(house.database, store).worker()
    assert await house.work(task, submission)
    assert await house.work(task, submission)
    assert store.n_puts == 1


async def test_two_workers_at_once_index_it_once(database: Database) -> None:
    embedder, store = GatedEmbedder(), FailingStore()
    house = House(database, store, embedder)
    submission = await house.hand_in("wiki:cat", "the cat sat")
    one = asyncio.create_task(house.work(house.worker(), submission))
    await embedder.began.wait()
    other = asyncio.create_task(house.work(house.worker(), submission))
    embedder.gate.set()
    assert await one is True
    await other
    assert (store.n_puts, (await house.state(submission))[:2]) == (1, ("searchable", 1))


async def test_a_newer_version_takes_the_place_of_one_that_waits(house: House) -> None:
    old = await house.hand_in("wiki:cat", "the cat sat")
    new = await house.hand_in("wiki:cat", "the cat sat on a mat")
    assert await house.work(house.worker(), new)
    assert await house.work(house.worker(), old), "there is nothing to do about it"
    assert await house.library.text(MANAGER, new.document_id) == "the cat sat on a mat"


async def test_a_newer_version_waits_for_the_older_one_that_is_being_indexed(database: Database) -> None:
    embedder = GatedEmbedder()
    house = House(database, embedder=embedder)
    old = await house.hand_in("wiki:cat", "the cat sat")
    first = asyncio.create_task(house.work(house.worker(), old))
    await embedder.began.wait()
    new = await house.hand_in("wiki:cat", "the cat sat on a mat")
    second = asyncio.create_task(house.work(house.worker(), new))
    embedder.gate.set()
    await first
    while not await second:
        second = asyncio.create_task(house.work(house.worker(), new))
    assert await house.library.text(MANAGER, new.document_id) == "the cat sat on a mat"
    assert (await house.state(new))[0] == "searchable"


async def test_equal_documents_at_once_become_an_original_and_a_duplicate(database: Database) -> None:
    house = House(database)
    both = [await house.hand_in(uri, "the cat sat on a mat") for uri in ("wiki:a", "wiki:b")]
    waiting = list(both)
    while waiting:
        done = await asyncio.gather(*(house.work(house.worker(), each) for each in waiting))
        waiting = [each for each, ended in zip(waiting, done, strict=True) if not ended]
    records = (await all_records(house.store)).values()
    assert sorted(record.duplicate_of is None for record in records) == [False, True]


@pytest.mark.parametrize("error", [PermanentIngestError("it holds no text"), BadDependency("odd")])
async def test_what_fails_for_good_ends_with_its_reason(database: Database, error: GroundwireError) -> None:
    house = House(database, FailingStore(*[error] * 3))
    submission = await house.hand_in("wiki:cat", "the cat sat")
    tries = [await house.work(house.worker(), submission) for _ in range(3)]
    is_permanent = isinstance(error, PermanentIngestError)
    assert tries == ([True] * 3 if is_permanent else [False, False, True])
    assert await house.state(submission) == ("failed", 1 if is_permanent else 3, str(error))
    assert [letter.uri for letter in await database.run(partial(submissions.failed, tenant=TENANT))] == ["wiki:cat"]


async def test_a_store_that_is_away_makes_no_dead_letters(database: Database) -> None:
    house = House(database, FailingStore(*[Unavailable("the store is away")] * 20))
    submission = await house.hand_in("wiki:cat", "the cat sat")
    tries = [await house.work(house.worker(), submission) for _ in range(21)]
    assert tries == [False] * 20 + [True]
    assert await house.state(submission) == ("searchable", 1, "")


async def test_a_document_that_ends_its_workers_is_given_up(house: House) -> None:
    submission = await house.hand_in("wiki:cat", "the cat sat")
    house.library.indexer = None  # type: ignore[assignment]  # whoever touches it dies
    for _ in range(3):
        with pytest.raises(AttributeError):
            await house.work(house.worker(), submission)
    assert await house.work(house.worker(), submission)
    assert await house.state(submission) == ("failed", 4, "each attempt ended its worker")


async def test_a_worker_that_lost_its_lease_stops_before_it_stores(database: Database) -> None:
    embedder, store = GatedEmbedder(), FailingStore()
    house = House(database, store, embedder)
    submission = await house.hand_in("wiki:cat", "the cat sat")
    working = asyncio.create_task(house.work(house.worker(lease_s=3.0), submission))
    await embedder.began.wait()

    def taken_away(connection: Connection) -> None:
        connection.change("DELETE FROM leases", {})
        leases.take(connection, [f"document:{submission.document_id}"], "another", house.clock.now_s, 9e9)

    await database.run(taken_away)
    assert await working is False
    assert store.n_puts == 0


async def test_a_document_that_another_stored_meanwhile_is_not_replaced_by_who_may_not_see_it(house: House) -> None:
    eve = readable_by(Principal(subject="eve", tenant=TENANT))
    hers = await house.hand_in("wiki:dog", "the cat", access=eve)
    await house.library.put(MANAGER, Draft(uri="wiki:dog", text="the mat", acl=("group:board",)), work())
    assert await house.work(house.worker(), hers)
    state, _, reason = await house.state(hers)
    assert (state, "your key may not see" in reason) == ("failed", True)
    assert await house.library.text(MANAGER, hers.document_id) == "the mat"
