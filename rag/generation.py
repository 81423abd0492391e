"""A generation of the index: an embedder and the store of its vectors, opened together and exchanged together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tokenizers import Tokenizer

from ingest.config import IngestConfig
from ingest.pipeline import Indexer
from rag.base.errors import ConfigError
from rag.base.ports import Embedder, PassageStore, Retriever
from rag.index.config import EdgeConfig
from rag.index.embedders.factory import OnBatch, Opened, open_embedder
from rag.index.factory import INDEX, Store
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.observation import Observation
from rag.pipeline.recent import RememberingRetriever
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.index.edge import EdgeStore


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
async def open_following(
    settings: Settings, on_batch: OnBatch | None = None
) -> AsyncIterator[tuple[Embedder, Tokenizer, "EdgeStore"]]:
    """The embedder of the settings and the index that it fills beside the one in use. Raises ConfigError."""
    from rag.index.rebuild import open_next

    config = _edge_of(settings)
    async with open_embedder(settings.embedder, settings.models_dir, on_batch) as (embedder, tokenizer):
        store = await open_next(
            settings.data_dir / INDEX,
            embedder,
            config=config,
            fusion=settings.fusion,
            fields=Fields(settings.fields),
        )
        try:
            yield embedder, tokenizer, store
        finally:
            await store.close()


def copying_indexer(embedder: Embedder, store: PassageStore, tokenizer: Tokenizer, config: IngestConfig) -> Indexer:
    """Puts documents into a store that another one holds already: none is left out for being near to another."""
    let_in = replace(config, near_duplicates="link") if config.near_duplicates == "skip" else config
    return Indexer(embedder, store, tokenizer, let_in)


class EdgeNursery:
    """Where the next generation grows: beside the embedded index of the data folder."""

    def __init__(self, settings: Settings, seen: Observation) -> None:
        self._index = settings.data_dir / INDEX
        self._seen = seen

    @asynccontextmanager
    async def opened(self, settings: Settings) -> AsyncIterator[Generation]:
        """See `rag.succession.Nursery`. Raises ConfigError."""
        async with open_following(settings, self._seen.batch) as (embedder, tokenizer, store):
            named = self._seen.embedder(embedder, settings.embedder)
            async with open_generation((named, tokenizer), store, store.close, settings, self._seen) as generation:
                yield generation

    async def optimize(self) -> None:
        """See `rag.succession.Nursery`. Raises Unavailable."""
        from rag.index.rebuild import optimize_next

        await optimize_next(self._index)

    async def adopt(self) -> None:
        """See `rag.succession.Nursery`; the present generation is kept to go back to."""
        from rag.index.rebuild import adopt

        await asyncio.to_thread(adopt, self._index)

    async def discard_previous(self) -> None:
        """See `rag.succession.Nursery`."""
        from rag.index.rebuild import discard_previous

        await asyncio.to_thread(discard_previous, self._index)


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """An embedded index that no server holds, its successor, and the step over."""

    old: "EdgeStore"
    new: "EdgeStore"
    indexer: Indexer
    adopt: Callable[[], Awaitable[None]]
    discard_previous: Callable[[], Awaitable[None]]
    """To be called when both are closed."""


@asynccontextmanager
async def open_rebuild(settings: Settings) -> AsyncIterator[Rebuild]:
    """The index as it was built, and one beside it that is built with the present settings. Raises ConfigError."""
    from rag.index.rebuild import adopt, discard_previous, open_as_built

    async with open_following(settings) as (embedder, tokenizer, new), AsyncExitStack() as stack:
        index = settings.data_dir / INDEX
        old = await open_as_built(index, _edge_of(settings))
        stack.push_async_callback(old.close)

        async def step_over() -> None:
            await new.optimize()
            await asyncio.to_thread(adopt, index)

        indexer = copying_indexer(embedder, new, tokenizer, settings.ingest)
        discard = partial(asyncio.to_thread, discard_previous, index)
        yield Rebuild(old=old, new=new, indexer=indexer, adopt=step_over, discard_previous=discard)


def _edge_of(settings: Settings) -> EdgeConfig:
    if not isinstance(settings.index, EdgeConfig):
        raise ConfigError("only an embedded index is built anew; for a Qdrant server, ingest into another collection")
    return settings.index
