"""The table of word counts against counting by hand, and in step with the shard whose words it counts."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import qdrant_edge as edge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.base.types import EVERYONE, Access, Principal
from rag.govern.access import managed_in, permits, readable_by
from rag.index.bm25 import Bm25Encoder
from rag.index.config import Bm25Config, EdgeConfig, FusionConfig
from rag.index.edge import EdgeStore
from rag.index.edge_shard import edge_filter
from rag.index.edge_words import counted
from rag.index.filters import Fields, parse_filters
from rag.index.frequencies import ChunkWords, DocumentFrequencies
from rag.index.hybrid import BM25
from rag.index.selection import covers, visible
from tests.building import DIMENSION, EMBEDDER, document, question

tenants = st.sampled_from(["acme", "zeta"])
acls = st.lists(st.sampled_from([EVERYONE, "user:ann", "user:bob", "group:staff"]), max_size=3, unique=True).map(tuple)
hashes = st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 2, 2**32 - 1])
chunks = st.builds(
    ChunkWords,
    tenants,
    acls,
    st.lists(hashes, max_size=5, unique=True).map(lambda words: np.array(words, dtype=np.uint32)),
)
principals = st.builds(
    Principal, subject=st.sampled_from(["ann", "bob"]), tenant=tenants, groups=st.sampled_from([frozenset({"staff"})])
)
accesses = principals.map(readable_by) | tenants.map(managed_in) | st.just(Access(tenant="acme", grants=frozenset()))
WORDS = [0, 1, 2, 3, 2**31, 2**32 - 2, 2**32 - 1, 77]


def by_hand(held: list[ChunkWords], access: Access) -> tuple[int, list[int]]:
    mine = [set(chunk.words.tolist()) for chunk in held if permits(access, chunk.tenant, tuple(chunk.acl))]
    return len(mine), [sum(word in words for words in mine) for word in WORDS]


@given(st.lists(st.tuples(st.lists(chunks, max_size=6), st.integers(0, 6)), max_size=5), accesses)
def test_the_counts_are_those_of_the_chunks_that_the_caller_sees(
    rounds: list[tuple[list[ChunkWords], int]], access: Access
) -> None:
    frequencies = DocumentFrequencies()
    held: list[ChunkWords] = []
    for added, n_removed in rounds:
        frequencies.add(added)
        gone, held = (held + added)[:n_removed], (held + added)[n_removed:]
        frequencies.remove(gone)
        n_chunks, n_holders = frequencies.of(WORDS, access)
        assert (n_chunks, n_holders.tolist()) == by_hand(held, access)


@given(accesses, tenants, acls)
def test_covering_is_what_the_house_permits(access: Access, tenant: str, acl: tuple[str, ...]) -> None:
    assert covers(access, tenant, frozenset(acl)) == permits(access, tenant, acl)


def test_a_rare_word_weighs_more_and_none_less_than_nothing() -> None:
    frequencies = DocumentFrequencies()
    words = [[1], [1], [1, 2]]
    frequencies.add(ChunkWords("acme", (EVERYONE,), np.array(one, dtype=np.uint32)) for one in words)
    weights = frequencies.weights([1, 2, 3], managed_in("acme"))
    assert weights == pytest.approx([math.log(1 + 0.5 / 3.5), math.log(1 + 2.5 / 1.5), math.log(1 + 3.5 / 0.5)])
    assert frequencies.weights([1], managed_in("zeta")) == pytest.approx([math.log(2)])
    assert frequencies.weights([], managed_in("acme")) == []


VOCABULARY = ["apples", "pears", "kiwis", "cherries", "the"]
texts = st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=6).map(" ".join), max_size=4)
changes = st.lists(
    st.tuples(st.sampled_from(["put", "delete"]), tenants, st.sampled_from(["a.txt", "b.pdf"]), acls, texts), max_size=8
)
CALLERS = [managed_in("acme"), managed_in("zeta"), readable_by(Principal(subject="ann", tenant="acme"))]


@pytest.fixture(scope="module")
def vendor_shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[edge.EdgeShard]:
    """A shard that counts its visible chunks anew for every question: slow, and right."""
    config = edge.EdgeConfig(sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)})
    shard = edge.EdgeShard.create(str(tmp_path_factory.mktemp("vendor") / "shard"), config)
    yield shard
    shard.close()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[EdgeStore]:
    store = await EdgeStore.open(
        path,
        config=EdgeConfig(),
        fusion=FusionConfig(),
        fields=Fields(),
        embedder_name=EMBEDDER.name,
        dimension=DIMENSION,
    )
    try:
        yield store
    finally:
        await store.close()


def require_in_step(store: EdgeStore) -> None:
    assert store._shard
    anew = counted(store._shard)
    words = Bm25Encoder(Bm25Config()).question(" ".join(VOCABULARY)).indices
    for caller in CALLERS:
        n_chunks, n_holders = store._frequencies.of(words, caller)
        expected, of_each = anew.of(words, caller)
        assert (n_chunks, n_holders.tolist()) == (expected, of_each.tolist())


def vendor_scores(shard: edge.EdgeShard, access: Access, text: str) -> dict[str, float]:
    everything = edge_filter(visible(access, "chunk"))
    words = Bm25Encoder(Bm25Config()).question(text)
    params = edge.SearchParams(idf=edge.IdfParams(corpus=everything))
    nearest = edge.Query.Nearest(words, using=BM25)
    request = edge.QueryRequest(limit=100, query=nearest, filter=everything, params=params, with_payload=True)
    return {(point.payload or {})["chunk"]: point.score for point in shard.query(request)}


async def copy(store: EdgeStore, shard: edge.EdgeShard) -> None:
    shard.update(edge.UpdateOperation.delete_points_by_filter(edge.Filter(must=[edge.HasVectorCondition(BM25)])))
    encoder = Bm25Encoder(Bm25Config())
    points = []
    for caller in CALLERS[:2]:
        for record in (await store.records(caller, (), 100)).records:
            for passage, _ in await store.passages(caller, record.id):
                payload = {"kind": "chunk", "tenant": record.tenant, "acl": [*record.acl], "chunk": passage.chunk.id}
                vectors = {BM25: encoder.passage(passage.chunk.text)}
                points.append(edge.Point(len(points), vectors, payload))
    if points:
        shard.update(edge.UpdateOperation.upsert_points(points))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStore]:
    async with opened(tmp_path_factory.mktemp("index")) as shared:
        yield shared


@pytest.mark.asyncio(loop_scope="module")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes)
async def test_after_any_changes_the_scores_are_those_of_counting_anew(
    store: EdgeStore, vendor_shard: edge.EdgeShard, changes: list[tuple[str, str, str, tuple[str, ...], list[str]]]
) -> None:
    for tenant in ("acme", "zeta"):
        await store.delete(managed_in(tenant), ())
    for change, tenant, name, acl, words in changes:
        if change == "put":
            await store.put([await document(name, words, tenant=tenant, acl=acl)])
        else:
            await store.delete(managed_in(tenant), parse_filters({"format": name[-3:]}, Fields()))
        require_in_step(store)
    await copy(store, vendor_shard)
    asked = "apples pears kiwis"
    for caller in CALLERS:
        (found,) = await store.search_batch([await question(asked, caller, limit=100)])
        assert isinstance(found, list)
        ours = {one.passage.chunk.id: leg.score for one in found for leg in one.legs if leg.origin == "bm25"}
        assert ours == pytest.approx(vendor_scores(vendor_shard, caller, asked), rel=1e-5)


async def test_the_words_are_counted_again_when_the_store_is_opened_again(tmp_path: Path) -> None:
    asked = [await question("pears kiwis", CALLERS[0])]
    async with opened(tmp_path) as store:
        await store.put([await document("a.txt", ["apples and pears", "pears"]), await document("b.txt", ["kiwis"])])
        before = await store.search_batch(asked)
    async with opened(tmp_path) as store:
        require_in_step(store)
        assert await store.search_batch(asked) == before
