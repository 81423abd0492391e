"""A collection built anew on a server that others use, and killed before each of its writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web

from ingest.draft import Draft
from ingest.lookup import by_ids
from ingest.outcome import Report
from ingest.reindex import Copy
from rag.base.errors import ConfigError, GroundwireError, Unavailable
from rag.base.ids import document_id
from rag.base.ports import Embedder
from rag.generation import Replacement, replace_index
from rag.govern.access import managed_in
from rag.index.config import FusionConfig, QdrantConfig
from rag.index.filters import Fields
from rag.index.qdrant import QdrantStore
from rag.index.qdrant_rebuild import QdrantRebuild
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, an_indexer, content, run
from tests.qdrant_server import serving

pytestmark = pytest.mark.sockets

OLD = [Draft(uri=f"doc:{name}", text=f"The cat {name} sat on a mat. " * 6) for name in "abcd"]
TWIN = Draft(uri="doc:twin", text=OLD[0].text)
MIN_POINTS = 12


class OtherEmbedder(HashingEmbedder):
    """Another model, for which all vectors are made anew."""

    name = "other@2"


class Death:
    """Lets `lives` writes through and answers none of the rest; what is only asked is answered."""

    def __init__(self) -> None:
        self.lives: int | None = None
        self.writes: list[str] = []

    async def __call__(self, request: web.Request) -> web.Response | None:
        if request.method not in {"PUT", "DELETE"} and not request.path.endswith(("/points/batch", "/aliases")):
            return None
        if self.lives is None or len(self.writes) < self.lives:
            self.writes.append(f"{request.method} {request.path}")
            return None
        return web.Response(status=500)


def config(url: str) -> QdrantConfig:
    return QdrantConfig(url=url, prefer_grpc=False, timeout_s=5)


class Quick(QdrantRebuild):
    """Does not wait for others."""

    async def outlast_writers(self) -> bool:
        return True


async def opened(url: str, embedder: Embedder) -> QdrantStore:
    return await QdrantStore.open(
        config(url),
        fusion=FusionConfig(),
        fields=Fields({}),
        embedder_name=embedder.name,
        dimension=embedder.dimension,
    )


@asynccontextmanager
async def replacement(url: str, embedder: Embedder, kind: type[QdrantRebuild] = Quick) -> AsyncIterator[Replacement]:
    rebuild = kind(config(url))
    new = await rebuild.open_next(embedder, FusionConfig(), Fields({}))
    try:
        old = await rebuild.open_present()
        yield Replacement(old=old, new=new, indexer=an_indexer(new, embedder), rebuild=rebuild)
        await old.close()
    finally:
        await new.close()


async def rebuilt(url: str, embedder: Embedder) -> Report:
    async with replacement(url, embedder) as parts:
        return await replace_index(parts, Copy(parts.old), lambda _: None)


async def collections(url: str) -> list[str]:
    async with httpx.AsyncClient(base_url=url) as client:
        told = (await client.get("/collections")).json()
    return [each["name"] for each in told["result"]["collections"]]


async def filled(url: str) -> QdrantStore:
    store = await opened(url, HashingEmbedder())
    await run(an_indexer(store), [*OLD, TWIN])
    return store


async def test_a_second_collection_takes_over_in_one_step_and_others_stay_in_theirs() -> None:
    async with serving() as url:
        other_process = await filled(url)
        before = await content(other_process)
        async with replacement(url, OtherEmbedder()) as parts:
            copy = Copy(parts.old)
            await run(an_indexer(other_process), [Draft(uri="doc:late", text="a cat sat")])
            report = await replace_index(parts, copy, lambda _: None)
        assert (report.failed, report.n_documents) == (0, len(before) + 1)
        with pytest.raises(Unavailable, match="built anew"):
            await run(an_indexer(other_process), [Draft(uri="doc:lost", text="the mat")])
        with pytest.raises(Unavailable, match="built anew"):
            await other_process.delete(managed_in(TENANT), ())
        assert set(before) < set(await content(other_process)), "it still answers"
        with pytest.raises(ConfigError, match="embedder is"):
            await opened(url, HashingEmbedder())
        new = await opened(url, OtherEmbedder())
        assert {*before, "doc:late"} == set(await all_records(new))
        await new.close()
        await other_process.close()


async def test_what_another_process_wrote_until_it_saw_the_step_is_copied_after_it() -> None:
    class Late(Quick):
        async def outlast_writers(self) -> bool:
            other_process._was_in_use = False  # as if it had looked before the step
            await run(an_indexer(other_process), [Draft(uri="doc:a", text="the cat sat last")])
            await other_process.delete(managed_in(TENANT), by_ids([document_id(TENANT, "doc:b")]))
            return True

    async with serving() as url:
        other_process = await filled(url)
        async with replacement(url, OtherEmbedder(), Late) as parts:
            await replace_index(parts, Copy(parts.old), lambda _: None)
        new = await opened(url, OtherEmbedder())
        held = await content(new)
        assert set(held) == {"doc:a", "doc:c", "doc:d", "doc:twin"}
        assert "".join(chunk.text for chunk, _ in held["doc:a"][1]) == "the cat sat last"
        await new.close()
        await other_process.close()


async def test_the_one_before_is_gone_back_to_and_nothing_is_embedded_again() -> None:
    async with serving() as url:
        await (await filled(url)).close()
        await rebuilt(url, OtherEmbedder())
        again = HashingEmbedder()
        report = await rebuilt(url, again)
        assert (report.failed, report.chunks, again.n_embedded) == (0, 0, 0)
        store = await opened(url, again)
        assert len(await content(store)) == len(OLD) + 1
        rebuild = QdrantRebuild(config(url))
        assert len(await collections(url)) == 2
        await rebuild.discard_previous()
        assert await collections(url) == ["groundwire.1"]
        await store.close()


async def test_killed_before_any_of_its_writes_one_index_is_whole_and_the_next_run_ends_as_undisturbed() -> None:
    writes, undisturbed = await dying(None)
    points = [at for at, name in enumerate(writes) if name != writes[at - 1] or not name.endswith("/index")]
    assert len(points) >= MIN_POINTS
    for point in points:
        done, held = await dying(point)
        assert len(done) > point
        assert held == undisturbed, writes[point]


async def dying(point: int | None) -> tuple[list[str], dict[str, object]]:
    """Rebuilds, dies before that write, looks what is there and rebuilds again; the writes, and what is there then."""
    death = Death()
    async with serving(fault=death) as url:
        await (await filled(url)).close()
        death.writes, death.lives = [], point
        if point is not None:
            with pytest.raises(GroundwireError):
                await rebuilt(url, OtherEmbedder())
            death.lives = None
            await require_whole(url)
        await rebuilt(url, OtherEmbedder())
        writes = list(death.writes)
        store = await opened(url, OtherEmbedder())
        held = await content(store)
        await store.close()
    return writes, held


async def require_whole(url: str) -> None:
    """Whichever is in use holds every document, once."""
    store = await QdrantRebuild(config(url)).open_present()
    records = await all_records(store)
    assert set(records) == {draft.uri for draft in [*OLD, TWIN]}
    for draft in OLD:
        found = await store.passages(managed_in(TENANT), records[draft.uri].id)
        assert "".join(passage.chunk.text for passage, _ in found) == draft.text
    await store.close()
