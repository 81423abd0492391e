"""An index on a Qdrant server built anew in a second collection, and the one step of the alias from old to new."""

import asyncio

import msgspec

from rag.base.errors import ConfigError
from rag.base.ports import Embedder
from rag.index.config import FusionConfig, QdrantConfig
from rag.index.filters import Fields
from rag.index.qdrant import QdrantStore, connected
from rag.index.qdrant_calls import Calls
from rag.index.qdrant_collections import Collections


class QdrantRebuild:
    """See `rag.index.factory.Rebuild`. Other processes write too, until they see that the alias leads elsewhere."""

    def __init__(self, config: QdrantConfig) -> None:
        self._config = config
        self._next: QdrantStore | None = None

    async def open_present(self) -> QdrantStore:
        """The collection in use as its own manifest says, whatever the settings say now."""
        client = connected(self._config)
        try:
            collections = Collections(client, self._config, Calls(self._config.timeout_s))
            used = await collections.in_use()
            manifest = await collections.manifest(used) if used else None
        finally:
            await client.close()
        if manifest is None:
            raise ConfigError(
                f"there is no index '{self._config.collection}' on the Qdrant server; `rag ingest` makes one"
            )
        return await QdrantStore.open(
            msgspec.structs.replace(self._config, bm25=manifest.bm25),
            fusion=FusionConfig(),
            fields=Fields(manifest.fields),
            embedder_name=manifest.embedder,
            dimension=manifest.dimension,
        )

    async def open_next(self, embedder: Embedder, fusion: FusionConfig, fields: Fields) -> QdrantStore:
        """The collection that grows, with what an earlier run left of it."""
        self._next = await QdrantStore.open(
            self._config,
            fusion=fusion,
            fields=fields,
            embedder_name=embedder.name,
            dimension=embedder.dimension,
            grows=True,
        )
        return self._next

    async def optimize(self) -> None:
        """Nothing: the server does it by itself."""

    async def adopt(self) -> None:
        """Has the alias lead to the next one."""
        if self._next is not None:
            await self._next.adopt()

    async def outlast_writers(self) -> bool:
        """Waits until a write that another process began before the step has ended."""
        await asyncio.sleep(self._config.timeout_s)
        return True

    async def discard_previous(self) -> None:
        """Removes every collection of this index that is not in use."""
        client = connected(self._config)
        try:
            await Collections(client, self._config, Calls(self._config.timeout_s)).discard_unused()
        finally:
            await client.close()
