"""A generation of the index: an embedder and the store of its vectors, opened together and exchanged together."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace
from tokenizers import Tokenizer

from ingest.config import IngestConfig
from ingest.outcome import Report
from ingest.pipeline import Indexer, Progress
from ingest.reindex import Copy
from rag.base.errors import PermanentIngestError
from rag.base.ports import Embedder, PassageStore, Retriever
from rag.index.embedders.factory import Opened, open_embedder
from rag.index.factory import INDEX, OpenStore, Rebuild, Store, rebuild_of
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.observation import Observation
from rag.pipeline.recent import RememberingRetriever
from rag.settings import Settings

MAX_PASSES: Final = 5
"""Before the step is made all the same, in case writers never let up."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What questions are embedded by and searched in, and documents written to. `traced` is the store, traced.

    `retire` closes the store; the embedder stays open for those who embed for themselves, such as the extractive model.
    """

    embedder: Embedder
    tokenizer: Tokenizer
    store: Store
    traced: PassageStore
    retriever: Retriever
    recent: RememberingRetriever
    retire: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_generation(
    opened: Opened, store: Store, close: Callable[[], Awaitable[None]], settings: Settings, seen: Observation
) -> AsyncIterator[Generation]:
    """The generation of an `opened` embedder and a store, which `close` closes, with its search, traced."""
    embedder, tokenizer = opened
    async with AsyncExitStack() as held:
        held.push_async_callback(close)
        traced = seen.store(store, settings.index)
        batched = BatchedRetriever(traced, seen.batch)
        held.push_async_callback(batched.aclose)
        recent = RememberingRetriever(batched)
        yield Generation(
            embedder=embedder,
            tokenizer=tokenizer,
            store=store,
            traced=traced,
            retriever=seen.tracing.retriever(recent, store.name),
            recent=recent,
            retire=held.aclose,
        )


@asynccontextmanager
async def _open_next(rebuild: Rebuild, settings: Settings, embedder: Embedder) -> AsyncIterator[OpenStore]:
    """The index that the embedder fills beside the one in use. Raises ConfigError."""
    store = await rebuild.open_next(embedder, settings.fusion, Fields(settings.fields))
    try:
        yield store
    finally:
        await store.close()


def copying_indexer(embedder: Embedder, store: PassageStore, tokenizer: Tokenizer, config: IngestConfig) -> Indexer:
    """Puts documents into a store that another one holds already: none is left out for being near to another."""
    let_in = replace(config, near_duplicates="link") if config.near_duplicates == "skip" else config
    return Indexer(embedder, store, tokenizer, let_in)


class Nursery:
    """Where the next generation grows, beside the index in use. See `rag.succession.Nursery`."""

    def __init__(self, settings: Settings, seen: Observation) -> None:
        self._rebuild = _rebuild(settings)
        self._seen = seen
        self.optimize = self._rebuild.optimize
        self.adopt = self._rebuild.adopt
        self.outlast_writers = self._rebuild.outlast_writers
        self.discard_previous = self._rebuild.discard_previous

    @asynccontextmanager
    async def opened(self, settings: Settings, readers: Opened | None) -> AsyncIterator[Generation]:
        """The next generation by those settings, embedded for by `readers` where given. Raises ConfigError."""
        async with AsyncExitStack() as held:
            enter = held.enter_async_context
            if readers is None:
                embedder, tokenizer = await enter(
                    open_embedder(settings.embedder, settings.models_dir, self._seen.batch)
                )
                readers = self._seen.embedder(embedder, settings.embedder), tokenizer
            store = await enter(_open_next(self._rebuild, settings, readers[0]))
            yield await enter(open_generation(readers, store, store.close, settings, self._seen))


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """An index that no server of this folder holds, its successor, and how the one becomes the other."""

    old: OpenStore
    new: OpenStore
    indexer: Indexer
    rebuild: Rebuild


@asynccontextmanager
async def open_replacement(settings: Settings) -> AsyncIterator[Replacement]:
    """The index as it was built, and one beside it that is built with the present settings. Raises ConfigError."""
    rebuild = _rebuild(settings)
    async with (
        open_embedder(settings.embedder, settings.models_dir) as (embedder, tokenizer),
        _open_next(rebuild, settings, embedder) as new,
    ):
        old = await rebuild.open_present()
        try:
            indexer = copying_indexer(embedder, new, tokenizer, settings.ingest)
            yield Replacement(old=old, new=new, indexer=indexer, rebuild=rebuild)
        finally:
            await old.close()


async def replace_index(replacement: Replacement, copy: Copy, progress: Progress) -> Report:
    """Copies until nothing is left to copy, steps over, and copies what other processes wrote until they saw it.

    Where a document failed nothing has changed. Raises PermanentIngestError when that is one of the last.
    """
    total, new, rebuild = Report(), replacement.new, replacement.rebuild
    for _ in range(MAX_PASSES):
        report = await copy.catch_up(new, replacement.indexer, progress)
        total.add(report)
        if total.failed:
            return total
        if not (report.n_documents or report.deleted):
            break
    await new.optimize()
    await rebuild.adopt()
    if await rebuild.outlast_writers():
        last = await copy.catch_up(new, replacement.indexer, progress)
        total.add(last)
        if last.failed:
            raise PermanentIngestError(f"the new index is in use without {last.failed} documents: hand them in again")
    return total


def _rebuild(settings: Settings) -> Rebuild:
    return rebuild_of(settings.index, settings.data_dir / INDEX)
