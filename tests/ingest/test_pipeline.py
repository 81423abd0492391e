import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dedupe import likeness
from ingest.draft import Draft
from ingest.outcome import Failure, Outcome
from rag.base.deadline import Deadline
from rag.base.errors import Forbidden, Overloaded, PermanentIngestError, Unavailable
from rag.base.ports import IndexedDocument, Vectors
from rag.base.types import Access, Role, Work
from rag.govern.access import managed_in
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, Killed, MortalStore, all_records, an_indexer, content, run, stream, work

LONG = "The cat sat on a mat. " * 8


def drafts(**texts: str) -> list[Draft]:
    return [Draft(uri=f"doc:{name}", text=text) for name, text in texts.items()]


async def test_run_adds_then_leaves_alone_then_updates() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    indexer = an_indexer(store, embedder)
    first = await run(indexer, drafts(a=LONG, b="a cat", c="a mat"))
    assert (first.added, first.failed) == (3, 0)
    assert first.chunks == embedder.n_embedded > 3
    second = await run(indexer, drafts(a=LONG, b="a cat", c="a mat"))
    assert (second.unchanged, second.chunks, embedder.n_embedded) == (3, 0, first.chunks)
    third = await run(indexer, drafts(a=LONG, b="a cat sat", c="a mat"))
    assert (third.unchanged, third.updated, third.chunks) == (2, 1, 1)


async def test_white_space_alone_is_a_change() -> None:
    store = MemoryStore()
    await run(an_indexer(store), drafts(a="if x:\n    y"))
    report = await run(an_indexer(store), drafts(a="if x:\n  y"))
    assert report.updated == 1


async def test_another_recipe_indexes_again() -> None:
    store = MemoryStore()
    await run(an_indexer(store), drafts(a=LONG))
    assert (await run(an_indexer(store, chunk_tokens=32), drafts(a=LONG))).updated == 1


async def test_the_first_of_equal_documents_keeps_the_chunks() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    texts = {f"x{at}": f"cat {at}" for at in range(9)} | {"z": "same", "a": " same\n", "m": "same"}
    report = await run(an_indexer(store, embedder), drafts(**texts))
    records = await all_records(store)
    assert (report.added, report.duplicate, embedder.n_embedded) == (10, 2, 10)
    assert records["doc:z"].duplicate_of is None
    assert {records["doc:a"].duplicate_of, records["doc:m"].duplicate_of} == {records["doc:z"].id}
    assert (await run(an_indexer(store), drafts(**texts))).unchanged == 12


@pytest.mark.parametrize("change", [{"acl": ("group:hr",)}, {"metadata": {"year": 2020}}])
async def test_equal_text_with_other_readers_or_metadata_is_no_duplicate(change: dict[str, object]) -> None:
    store = MemoryStore()
    report = await run(an_indexer(store), [Draft(uri="doc:a", text="same"), Draft(uri="doc:b", text="same", **change)])
    assert (report.added, report.duplicate) == (2, 0)


async def test_duplicates_outlive_an_original_that_changes() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    indexer = an_indexer(store, embedder)
    await run(indexer, drafts(a=LONG, c=LONG, b=LONG))
    n_embedded = embedder.n_embedded
    await run(indexer, drafts(a="new"))
    records = await all_records(store)
    assert embedder.n_embedded == n_embedded + 1
    assert records["doc:b"].duplicate_of is None
    assert records["doc:c"].duplicate_of == records["doc:b"].id
    kept = await store.passages(managed_in(TENANT), records["doc:b"].id)
    assert "".join(passage.chunk.text for passage, _ in kept) == LONG
    assert {passage.chunk.document_id for passage, _ in kept} == {records["doc:b"].id}


async def test_duplicates_outlive_an_original_that_is_removed() -> None:
    store = MemoryStore()
    indexer = an_indexer(store)
    await run(indexer, drafts(a=LONG, b=LONG))
    assert await indexer.remove((await all_records(store))["doc:a"])
    assert list(await all_records(store)) == ["doc:b"]
    assert (await run(indexer, drafts(b=LONG))).unchanged == 1
    assert (await run(indexer, drafts(a=LONG))).duplicate == 1


async def test_of_a_document_that_comes_twice_the_last_stands() -> None:
    store = MemoryStore()
    report = await run(an_indexer(store), [*drafts(a="one"), *drafts(a="two"), *drafts(a="one"), *drafts(b="two")])
    kept = await content(store)
    assert (report.added, report.updated) == (2, 2)
    assert kept["doc:a"][1][0][0].text == "one"
    assert kept["doc:b"][1][0][0].text == "two"


async def test_failures_are_reported_and_the_rest_goes_on() -> None:
    seen: list[Outcome] = []
    items = [Failure(uri="file:///x.pdf", reason="password"), *drafts(a="", b="  \n", c="cat"), *drafts(d="x" * 200)]
    indexer = an_indexer(MemoryStore(), max_text_chars=100)
    report = await indexer.run(stream(items), TENANT, seen.append)
    assert (report.added, report.failed) == (1, 4)
    assert [failure.uri for failure in report.failures] == ["file:///x.pdf", "doc:a", "doc:b", "doc:d"]
    assert [failure.reason for failure in report.failures][:2] == ["password", "it holds no text"]
    assert len(seen) == 5


class FailingEmbedder(HashingEmbedder):
    """Fails on texts that hold a certain word; as often as told."""

    def __init__(self, error: Exception, times: int = 10**9) -> None:
        super().__init__()
        self.error = error
        self.times = times

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        if self.times and any("bad" in text for text in texts):
            self.times -= 1
            raise self.error
        return await super().embed(texts, role, work)


async def test_a_run_that_ends_early_lets_go_of_what_it_reads() -> None:
    class Failing(MemoryStore):
        async def put(self, documents: Sequence[IndexedDocument]) -> None:
            raise Unavailable("down")

    closed: list[bool] = []

    async def items() -> AsyncGenerator[Draft, None]:
        try:
            for at in range(100):
                yield Draft(uri=f"doc:{at}", text=f"cat {at}")
        finally:
            closed.append(True)

    with pytest.raises(Unavailable):
        await an_indexer(Failing()).run(items(), TENANT)
    assert closed == [True]


async def test_a_failed_batch_costs_its_documents_only() -> None:
    store = MemoryStore()
    embedder = FailingEmbedder(Unavailable("the model is gone"))
    report = await run(an_indexer(store, embedder, embed_batch_chunks=1), drafts(a="cat", b="bad", c="bad", d="mat"))
    assert (report.added, report.failed) == (2, 2)
    assert all(failure.transient for failure in report.failures)
    assert set(await all_records(store)) == {"doc:a", "doc:d"}


async def test_a_full_queue_is_waited_for_in_a_bulk_run() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    indexer = an_indexer(MemoryStore(), FailingEmbedder(Overloaded("full", retry_after_s=0.5), times=2))
    indexer._embedder._sleep = sleep
    assert (await run(indexer, drafts(a="bad"))).added == 1
    assert slept == [0.5, 0.5]


async def test_a_full_queue_is_told_to_an_interactive_caller() -> None:
    indexer = an_indexer(MemoryStore(), FailingEmbedder(Overloaded("full", retry_after_s=0.5)))
    with pytest.raises(Overloaded):
        await indexer.index(indexer.document(drafts(a="bad")[0], TENANT), work())


class PickyStore(MemoryStore):
    """Refuses documents that hold a certain word."""

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        if any("bad" in chunk.text for document in documents for chunk in document.chunks):
            raise PermanentIngestError("it holds a value that cannot be stored")
        await super().put(documents)


async def test_a_document_that_the_store_refuses_fails_alone_with_its_duplicates() -> None:
    store = PickyStore()
    report = await run(an_indexer(store), drafts(a="cat", b="bad", c="bad", d="mat"))
    assert (report.added, report.failed) == (2, 2)
    assert {failure.uri for failure in report.failures} == {"doc:b", "doc:c"}


async def test_a_document_that_is_not_visible_is_not_replaced() -> None:
    store = MemoryStore()
    indexer = an_indexer(store)
    secret = indexer.document(Draft(uri="doc:a", text="cat", acl=("group:hr",)), TENANT)
    await indexer.index(secret, work())
    outsider = Access(tenant=TENANT, grants=frozenset({"everyone"}))
    with pytest.raises(Forbidden):
        await indexer.index(indexer.document(Draft(uri="doc:a", text="mat"), TENANT), work(), outsider)
    assert (await all_records(store))["doc:a"].version == secret.version


async def test_equal_documents_do_not_race() -> None:
    store = MemoryStore()
    indexer = an_indexer(store)
    documents = [indexer.document(draft, TENANT) for draft in drafts(a="same", b="same", c="same")]
    outcomes = await asyncio.gather(*(indexer.index(document, work()) for document in documents))
    assert sorted(outcome.status for outcome in outcomes) == ["added", "duplicate", "duplicate"]


names = st.sampled_from("abcde")
sequences = st.lists(st.tuples(names, st.sampled_from(("cat", "mat", "on", "the"))), max_size=12)


@given(st.lists(sequences, min_size=1, max_size=3), st.integers(1, 6))
@settings(deadline=None, max_examples=150)
async def test_windows_have_the_effect_of_one_document_after_another(
    runs: list[list[tuple[str, str]]], window: int
) -> None:
    bulk, single = MemoryStore(), MemoryStore()
    many, one = an_indexer(bulk, window_documents=window), an_indexer(single)
    for each in runs:
        items = [Draft(uri=f"doc:{name}", text=text) for name, text in each]
        await run(many, items)
        for item in items:
            await one.index(one.document(item, TENANT), work())
        assert await content(bulk) == await content(single)
        await check_references(bulk, {f"doc:{name}": text for each in runs for name, text in each})


@given(st.lists(sequences, min_size=2, max_size=3), st.integers(0, 14), st.integers(1, 6))
@settings(deadline=None, max_examples=150)
async def test_a_run_that_was_killed_and_repeated_ends_as_an_undisturbed_one(
    runs: list[list[tuple[str, str]]], lives: int, window: int
) -> None:
    store, undisturbed = MortalStore(), MemoryStore()
    for number, each in enumerate(runs):
        # Of a document that comes twice with two texts, each run stores both, one after the other: another history.
        items = [Draft(uri=f"doc:{name}", text=text) for name, text in dict(each).items()]
        await run(an_indexer(undisturbed, window_documents=window), items)
        store.lives = lives if number == len(runs) - 1 else None
        try:
            await run(an_indexer(store, window_documents=window), items)
        except Killed:
            store.lives = None
            await run(an_indexer(store, window_documents=window), items)
    assert await content(store) == await content(undisturbed)


async def check_references(store: MemoryStore, texts: dict[str, str]) -> None:
    records = await all_records(store)
    by_id = {record.id: record for record in records.values()}
    originals = [record for record in records.values() if record.duplicate_of is None]
    assert len({likeness(record) for record in originals}) == len(originals)
    for record in records.values():
        holder = by_id[record.duplicate_of] if record.duplicate_of else record
        assert holder.duplicate_of is None
        assert likeness(holder) == likeness(record)
        assert holder.n_chunks == len(await store.passages(managed_in(TENANT), holder.id)) > 0


async def test_deadline_of_a_bulk_batch_starts_with_the_batch() -> None:
    seen: list[Deadline] = []

    class Recording(HashingEmbedder):
        async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
            seen.append(work.deadline)
            assert (role, work.lane, work.tenant) == ("passage", "bulk", TENANT)
            return await super().embed(texts, role, work)

    await run(an_indexer(MemoryStore(), Recording(), embed_batch_chunks=1), drafts(a="cat", b="mat"))
    assert len(set(seen)) == 2


async def test_the_embedder_does_not_wait_while_something_is_stored() -> None:
    class Slow(MemoryStore):
        async def put(self, documents: Sequence[IndexedDocument]) -> None:
            n_embedded.append(embedder.n_embedded)
            for _ in range(200):  # turns of the loop, as a disk would take them
                await asyncio.sleep(0.001)
            n_embedded.append(embedder.n_embedded)
            await super().put(documents)

    n_embedded: list[int] = []
    embedder = HashingEmbedder()
    texts = {f"x{at}": f"cat {at}" for at in range(12)}
    report = await run(an_indexer(Slow(), embedder, window_documents=2), drafts(**texts))
    assert (report.added, embedder.n_embedded) == (12, 12), "nothing is embedded twice"
    assert n_embedded[1] >= 6, "two windows more, while the first one was stored"
    assert n_embedded[1] <= 8, "and not the whole collection"


async def test_what_is_left_out_for_its_likeness_is_not_embedded() -> None:
    text = " ".join(f"word{at}" for at in range(400))
    embedder = HashingEmbedder()
    indexer = an_indexer(MemoryStore(), embedder, near_duplicates="skip", window_documents=1)
    await run(indexer, drafts(a=text))
    n_embedded = embedder.n_embedded
    assert (await run(indexer, drafts(b=f"{text} more", c=f"{text} less"))).skipped == 2
    assert embedder.n_embedded == n_embedded > 0
