"""`NEAR_DOCUMENTS=10000 pytest tests/ingest/test_near.py -s` measures on the whole set."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.draft import Draft
from ingest.minhash import ALIKE, bands, likeness, nearly_same, runs, words
from ingest.outcome import Outcome
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, an_indexer, run, stream
from tests.ingest.near_set import altered, made_set, truly_alike

N_DOCUMENTS = int(os.environ.get("NEAR_DOCUMENTS", "400"))
TEXT = " ".join(f"word{at} and so on" for at in range(90))
CLOSE = TEXT.replace("word7 ", "term ")


async def test_pairs_are_found_through_the_store_and_no_others() -> None:
    documents = made_set(N_DOCUMENTS)
    alike = truly_alike(documents)
    store = MemoryStore()
    outcomes: list[Outcome] = []
    drafts = [Draft(uri=f"doc:{number}", text=each.text) for number, each in enumerate(documents)]
    await an_indexer(store, chunk_tokens=8192, window_documents=32).run(stream(drafts), TENANT, outcomes.append)
    ids = {record.id: int(uri.partition(":")[2]) for uri, record in (await all_records(store)).items()}
    found = {
        (ids[outcome.near_duplicate_of], ids[outcome.document_id])
        for outcome in outcomes
        if outcome.near_duplicate_of is not None
    }
    exact = {ids[record.id] for record in (await all_records(store)).values() if record.duplicate_of}
    expected = {later for _, later in alike} - exact
    precision = len({(min(pair), max(pair)) for pair in found} & alike) / len(found)
    recall = len({later for _, later in found} & expected) / len(expected)
    print(f"{len(documents)} documents, {len(expected)} alike: precision {precision:.4f}, recall {recall:.4f}")  # noqa: T201
    assert len(expected) > N_DOCUMENTS / 5
    assert precision >= 0.95
    assert recall >= 0.90


async def test_short_texts_that_differ_in_a_number_or_a_negation_stay_separate() -> None:
    rng = random.Random(1)
    pairs = [altered(rng) for _ in range(150)]
    assert sum(likeness(runs(words(a)), runs(words(b))) >= ALIKE for a, b in pairs) > 100, "the words alone are alike"
    assert not any(nearly_same(one, other) for one, other in pairs)
    drafts = [Draft(uri=f"doc:{at}", text=text) for at, pair in enumerate(pairs) for text in pair]
    for at, draft in enumerate(drafts):
        drafts[at] = Draft(uri=f"doc:{at}", text=draft.text)
    report = await run(an_indexer(MemoryStore(), near_duplicates="skip"), drafts)
    assert (report.skipped, report.near_duplicate) == (0, 0)


async def test_a_near_duplicate_names_its_original_in_a_later_run_too() -> None:
    store = MemoryStore()
    first = await run(an_indexer(store), [Draft(uri="doc:a", text=TEXT)])
    second = await run(an_indexer(store), [Draft(uri="doc:b", text=CLOSE), Draft(uri="doc:c", text="quite another")])
    records = await all_records(store)
    assert (first.near_duplicate, second.near_duplicate, second.added) == (0, 1, 2)
    assert records["doc:b"].near_duplicate_of == records["doc:a"].id
    assert records["doc:b"].n_chunks > 0
    assert records["doc:a"].near_duplicate_of is records["doc:c"].near_duplicate_of is None


async def test_a_skipped_document_costs_no_embedding_and_comes_back_when_its_original_goes() -> None:
    store, embedder = MemoryStore(), HashingEmbedder()
    indexer = an_indexer(store, embedder, near_duplicates="skip")
    await run(indexer, [Draft(uri="doc:a", text=TEXT)])
    n_embedded = embedder.n_embedded
    drafts = [Draft(uri="doc:b", text=CLOSE), Draft(uri="doc:c", text=CLOSE.replace("word9 ", "item "))]
    report = await run(indexer, drafts)
    assert (report.skipped, report.added, embedder.n_embedded) == (2, 0, n_embedded)
    await indexer.remove((await all_records(store))["doc:a"])
    report = await run(indexer, drafts)
    assert (report.skipped, report.added) == (1, 1)


async def test_a_document_that_is_there_is_updated_and_never_skipped() -> None:
    store = MemoryStore()
    indexer = an_indexer(store, near_duplicates="skip")
    await run(indexer, [Draft(uri="doc:a", text=TEXT), Draft(uri="doc:b", text="quite another")])
    report = await run(indexer, [Draft(uri="doc:b", text=CLOSE)])
    assert (report.updated, report.skipped) == (1, 0)


@pytest.mark.parametrize("change", [{"acl": ("group:hr",)}, {"metadata": {"year": 2020}}])
async def test_other_readers_or_metadata_make_no_near_duplicate(change: dict[str, object]) -> None:
    report = await run(
        an_indexer(MemoryStore()), [Draft(uri="doc:a", text=TEXT), Draft(uri="doc:b", text=CLOSE, **change)]
    )
    assert report.near_duplicate == 0


async def test_nobody_looks_when_told_to_keep() -> None:
    store = MemoryStore()
    report = await run(
        an_indexer(store, near_duplicates="keep"), [Draft(uri="doc:a", text=TEXT), Draft(uri="doc:b", text=CLOSE)]
    )
    assert (report.added, report.near_duplicate) == (2, 0)
    assert all(record.bands == () for record in (await all_records(store)).values())


async def test_a_long_text_may_differ_in_a_number() -> None:
    long = TEXT * 2
    assert nearly_same(long, long.replace("word7 ", "4711 "))


@given(st.text(), st.text())
def test_likeness_is_symmetric_and_keys_are_stable(one: str, other: str) -> None:
    assert nearly_same(one, other) is nearly_same(other, one)
    assert bands(one) == bands(one.upper().lower()) or one.upper().lower() != one.lower()
    assert len(bands(one)) in (0, 16)
    assert nearly_same(one, one) is bool(words(one))
