"""Opens the store that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, assert_never

from rag.base.ports import Embedder, PassageStore
from rag.base.types import Access, Filters
from rag.index.config import EdgeConfig, FusionConfig, QdrantConfig, StoreConfig
from rag.index.filters import Fields
from rag.index.retriever import SearchesInBatches
from rag.index.wear import Wear

INDEX = "index"
"""The folder of the embedded index within the data folder."""


class Store(PassageStore, SearchesInBatches, Protocol):
    """Keeps documents and finds passages in them."""

    @property
    def name(self) -> str:
        """The store as the lineage of an answer names it."""
        ...

    @property
    def epoch(self) -> int:
        """Grows with every change that a reader can see."""
        ...

    async def count(self, access: Access, filters: Filters = ()) -> int:
        """How many documents match."""
        ...

    async def n_documents(self) -> int:
        """How many documents there are, whoever may see them."""
        ...

    async def tenants(self) -> list[str]:
        """Everyone who has a document here."""
        ...

    async def wear(self) -> Wear:
        """How far building it anew would speed it up; nothing where the store sees to that by itself."""
        ...

    async def optimize(self) -> bool:
        """Speeds up searching what was added; returns whether there was anything to do.

        May stop the process for minutes: for a command after its last write, not for a running server.
        """
        ...


class Rebuild(Protocol):
    """An index built anew beside the one in use, and the step from one to the other."""

    async def open_present(self) -> "OpenStore":
        """The index in use as it was built, whatever the settings say now. Raises ConfigError, Unavailable."""
        ...

    async def open_next(self, embedder: Embedder, fusion: FusionConfig, fields: Fields) -> "OpenStore":
        """The one that grows, with what an earlier run left of it; the one before is begun with if it is as wanted."""
        ...

    async def optimize(self) -> None:
        """Builds the search index of the next one, which must be closed. Raises Unavailable."""
        ...

    async def adopt(self) -> None:
        """Makes the next one the one that is opened from now on, in one step. The one before is kept."""
        ...

    async def outlast_writers(self) -> bool:
        """Returns when no other process writes to the one before; whether any may have since the step."""
        ...

    async def discard_previous(self) -> None:
        """Removes the one before, which must be closed."""
        ...


class OpenStore(Store, Protocol):
    """A store that whoever opened it closes."""

    async def close(self) -> None:
        """Ends what is in hand and lets go of the index."""
        ...


def rebuild_of(config: StoreConfig, folder: Path) -> Rebuild:
    """How the index that the settings name is built anew; `folder` is that of an embedded one."""
    match config:
        case EdgeConfig():
            from rag.index.rebuild import EdgeRebuild

            return EdgeRebuild(folder, config)
        case QdrantConfig():
            from rag.index.qdrant_rebuild import QdrantRebuild

            return QdrantRebuild(config)
        case _ as never:
            assert_never(never)


@asynccontextmanager
async def open_store(
    config: StoreConfig, *, folder: Path, fields: Fields, fusion: FusionConfig, embedder_name: str, dimension: int
) -> AsyncIterator[Store]:
    """The store, open; closed on leaving. Raises what its `open` raises: ConfigError, Unavailable."""
    # Imported where chosen: either vendor costs time at start that the other's users should not pay.
    match config:
        case EdgeConfig():
            from rag.index.edge import EdgeStore

            store = await EdgeStore.open(
                folder,
                config=config,
                fusion=fusion,
                fields=fields,
                embedder_name=embedder_name,
                dimension=dimension,
            )
            try:
                yield store
            finally:
                await store.close()
        case QdrantConfig():
            from rag.index.qdrant import QdrantStore

            server = await QdrantStore.open(
                config, fusion=fusion, fields=fields, embedder_name=embedder_name, dimension=dimension
            )
            try:
                yield server
            finally:
                await server.close()
        case _ as never:
            assert_never(never)
