"""The index is exchanged while questions and writes go on: nothing fails, nothing mixes, nothing is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.library import Library
from ingest.pipeline import Indexer
from rag.base.deadline import Deadline
from rag.base.errors import Conflict, Unavailable
from rag.base.ports import PassageStore, Retrieval, Vectors
from rag.base.types import Candidate, Chunk, Match, Passage, Principal, Query, Role, Work
from rag.generation import Generation
from rag.govern.access import managed_in
from rag.index.embedders.factory import Opened
from rag.index.hybrid import Outcome
from rag.index.retriever import BatchedRetriever
from rag.pipeline.config import AnswerConfig
from rag.pipeline.recent import Overlap, RememberingRetriever, overlap
from rag.pipeline.search import Searcher
from rag.settings import Settings
from rag.succession import Succession, Wish
from rerank.none import NoReranker
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, TOKENIZER, an_indexer, content, run, work
from tests.serve.stage import until

READER = Principal(subject="reader", tenant=TENANT)
DRAFTS = [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at} " * 3) for at in range(30)]


class Embedder(HashingEmbedder):
    """Of the same dimension as every other, so that only the vectors themselves tell whose they are."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        await asyncio.sleep(0)
        return np.roll(await super().embed(texts, role, work), len(self.name), axis=1)


class OwnStore(MemoryStore):
    """Counts vectors that are not of its embedder, and fails after it was closed."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder
        self.is_closed = False
        self.finds_nothing = False
        self.n_mixed = 0

    async def search_batch(self, requests: Sequence[Retrieval], *, here: bool = False) -> list[Outcome]:
        await asyncio.sleep(0)
        if self.is_closed:
            raise Unavailable("the index is closed")
        for request in requests:
            own = (await self.embedder.embed([request.text], "query", work()))[0]
            self.n_mixed += not np.allclose(own, request.vector)
        return [[] for _ in requests] if self.finds_nothing else await super().search_batch(requests, here=here)

    async def close(self) -> None:
        self.is_closed = True


class Nursery:
    """Keeps the next store as a disk would."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.store = OwnStore(embedder)
        self.did: list[str] = []
        self.breaks = False
        self.loses_writers = False
        self.readers: Opened | None = None

    @asynccontextmanager
    async def opened(self, settings: Settings, readers: Opened | None) -> AsyncIterator[Generation]:
        self.readers = readers
        async with generation(self.embedder, self.store) as following:
            yield following

    async def optimize(self) -> None:
        if self.breaks:
            raise Unavailable("the disk is full")
        self.did.append("optimize")

    async def adopt(self) -> None:
        self.did.append("adopt")

    async def outlast_writers(self) -> bool:
        if self.loses_writers:
            raise Unavailable("the store went away")
        return False

    async def discard_previous(self) -> None:
        self.did.append("discard")


@asynccontextmanager
async def generation(embedder: Embedder, store: OwnStore) -> AsyncIterator[Generation]:
    recent = RememberingRetriever(BatchedRetriever(store))
    yield Generation(
        embedder=embedder,
        tokenizer=TOKENIZER,
        store=store,
        traced=store,
        retriever=recent,
        recent=recent,
        retire=store.close,
    )


def writing(following: Generation, config: IngestConfig) -> tuple[Indexer, PassageStore]:
    return Indexer(following.embedder, following.store, following.tokenizer, config), following.store


class Scene:
    """A server's worth of parts around a succession."""

    def __init__(self, present: Generation, nursery: Nursery) -> None:
        self.nursery = nursery
        self.library = Library(an_indexer(present.store, present.embedder), present.store)
        self.searcher = Searcher(present.embedder, present.retriever, NoReranker(), AnswerConfig())
        self.succession = Succession(present, Settings(), nursery, self.searcher, self.library, writing)
        self.wish = Wish(settings=Settings())
        self.n_answered = 0

    async def ask(self, text: str) -> None:
        query = Query(text=text, principal=READER, request_id="", top_k=5)
        found = await self.searcher.search(query, Deadline.after(60), rerank=False)
        assert found.candidates
        self.n_answered += 1

    async def keep_asking(self, number: int) -> None:
        for at in itertools.count(number):
            await self.ask(f"cat mat {at % 30}")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    store = OwnStore(Embedder("old@1"))
    async with generation(store.embedder, store) as present:
        scene = Scene(present, Nursery(Embedder("another@1")))
        await run(scene.library.indexer, DRAFTS)
        async with scene.succession:
            yield scene


async def test_under_load_no_question_fails_or_mixes_and_no_write_is_lost(scene: Scene) -> None:
    old = scene.succession.present.store
    readers = [asyncio.create_task(scene.keep_asking(number)) for number in range(8)]
    kept = {draft.uri: draft for draft in DRAFTS}

    async def write() -> None:
        for at in itertools.count():
            draft = Draft(uri=f"doc:{at % 40}", text=f"a cat on mat {at}")
            await scene.library.put(managed_in(TENANT), draft, work())
            kept[draft.uri] = draft
            if at % 5 == 0:
                record = next(iter((await scene.library.list(managed_in(TENANT), (), 1)).records))
                await scene.library.delete(managed_in(TENANT), record.id)
                del kept[record.uri]
            await asyncio.sleep(0)

    writer = asyncio.create_task(write())
    scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    n_answered = scene.n_answered
    await until(lambda: scene.n_answered >= n_answered + 50)
    for task in (writer, *readers):
        assert not task.done()
        task.cancel()
    await asyncio.gather(writer, *readers, return_exceptions=True)
    assert standing.state == "done", standing.reason
    assert isinstance(old, OwnStore)
    assert (old.n_mixed, scene.nursery.store.n_mixed, old.is_closed) == (0, 0, True)
    assert scene.searcher.embedder.name == "another@1"
    fresh = MemoryStore()
    await run(Indexer(scene.nursery.embedder, fresh, TOKENIZER, Settings().ingest), kept.values())
    assert await content(scene.nursery.store) == await content(fresh)


async def test_the_steps_follow_each_other_and_one_succession_is_enough(scene: Scene) -> None:
    scene.succession.start(replace(scene.wish, keeps_previous=False))
    with pytest.raises(Conflict):
        scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    assert scene.nursery.did == ["optimize", "adopt", "discard"]
    assert (standing.embedder, standing.documents, standing.copied) == ("another@1", 30, 30)
    assert standing.overlap == Overlap(questions=0, overlap_10=None)


@pytest.mark.parametrize("least", [0.0, 0.5])
async def test_with_too_little_in_common_for_recent_questions_the_index_stays(scene: Scene, least: float) -> None:
    await scene.ask("the cat sat on mat 3")
    scene.nursery.store.finds_nothing = True
    scene.succession.start(replace(scene.wish, min_overlap=least))
    standing = await scene.succession.ended()
    assert standing.overlap == Overlap(questions=1, overlap_10=0.0)
    assert standing.state == ("failed" if least else "done")
    assert scene.searcher.embedder.name == ("old@1" if least else "another@1")
    assert ("adopt" in scene.nursery.did) is not bool(least)


async def test_questions_that_filter_by_what_the_next_index_lacks_are_not_compared(scene: Scene) -> None:
    await scene.ask("the cat sat on mat 3")
    (asked,) = scene.succession.present.recent.asked
    scene.succession.present.recent.asked.append(replace(asked, filters=(Match(field="gone", any_of=("x",)),)))
    scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    assert standing.state == "done", standing.reason
    assert standing.overlap is not None
    assert standing.overlap.questions == 1


async def test_stopped_or_failed_it_changes_nothing_and_goes_on_the_next_time(scene: Scene) -> None:
    slowly = replace(Settings(), ingest=IngestConfig(window_documents=2))
    scene.succession.start(Wish(settings=slowly, documents_per_s=50.0))
    await until(lambda: scene.nursery.store.epoch > 1)
    await scene.succession.stop()
    assert scene.succession.standing.state == "stopped"
    scene.nursery.breaks = True
    scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    assert (standing.state, standing.reason) == ("failed", "the disk is full")
    await scene.ask("cat")
    assert scene.searcher.embedder.name == "old@1"
    scene.nursery.breaks = False
    scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    assert (standing.state, standing.copied, standing.chunks) == ("done", 30, 0), "what was embedded is there"
    assert scene.nursery.did == ["optimize", "adopt"], "which failed the last time, and has nothing to do with copying"


async def test_what_fails_after_the_step_leaves_the_new_index_in_use_and_the_old_one_closed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    old = scene.succession.present.store
    assert isinstance(old, OwnStore)
    scene.nursery.loses_writers = True
    scene.succession.start(scene.wish)
    standing = await scene.succession.ended()
    assert (standing.state, standing.reason) == ("failed", "the store went away")
    assert "in use, and not all is done" in caplog.text
    assert (scene.searcher.embedder.name, old.is_closed) == ("another@1", True)
    await scene.ask("cat")


@pytest.mark.parametrize(
    ("new", "share"), [(((0, 9),), 0.5), (((5, 15),), 1.0), (((20, 30),), 0.0), (((0, 5), (10, 12)), 1.0), ((), 0.0)]
)
def test_passages_are_the_same_when_they_share_text(new: tuple[tuple[int, int], ...], share: float) -> None:
    old = [passage_at(0, 10), passage_at(10, 20)]
    assert overlap(old, [passage_at(*span) for span in new]) == share
    assert overlap([], old) == 1.0


def passage_at(start: int, stop: int) -> Candidate:
    chunk = Chunk(id=f"{start}", document_id="d", ordinal=0, text="x", start=start, stop=stop, n_tokens=1)
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    passage = Passage(chunk=chunk, uri="d", title="", version="1", format="text", updated_at=instant)
    return Candidate(passage=passage, score=1.0, origin="fused")


async def test_the_same_embedder_may_go_on(scene: Scene) -> None:
    present, settings = (
        scene.succession.present,
        Settings(data_dir=Path("elsewhere"), ingest=IngestConfig(chunk_tokens=16)),
    )
    scene.nursery.embedder = scene.nursery.store.embedder = Embedder("old@1")
    scene.succession.start(Wish(settings=settings, opens_embedder=False))
    assert (await scene.succession.ended()).state == "done"
    assert scene.nursery.readers == (present.embedder, present.tokenizer)
    assert scene.succession.settings is settings
    assert scene.nursery.store.embedder.n_embedded == 0, "its vectors were there"
    assert await content(scene.nursery.store) == await content(present.store)
