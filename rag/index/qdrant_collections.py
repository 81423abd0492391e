"""The collections of one index on a Qdrant server: NAME.1, NAME.2, ..., and the alias NAME of the one in use.

Belongs to `rag.index.qdrant`. A store stays in the collection that it opened; where the alias leads decides which one
is opened from now on, and the server changes it in one step.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec
from qdrant_client import AsyncQdrantClient, models

from rag.base.errors import BadDependency, ConfigError
from rag.base.ids import as_uuid, digest
from rag.index.config import FieldType, QdrantConfig
from rag.index.manifest import Manifest
from rag.index.qdrant_calls import Calls
from rag.index.qdrant_points import new_collection, payload_indexes

IN_MEMORY: Final = ":memory:"
"""As a url: qdrant-client's own store in this process, for tests."""

_MANIFEST: Final = as_uuid(digest("manifest"))


class Collections:
    """All of them, over an open client. Every method raises as `Calls.make` does."""

    def __init__(self, client: AsyncQdrantClient, config: QdrantConfig, calls: Calls) -> None:
        self._client = client
        self._config = config
        self._calls = calls

    async def in_use(self) -> str | None:
        """The collection that the alias leads to, or None where there is no index yet."""
        known = await self._calls.make(self._client.get_aliases)
        led_to = (each.collection_name for each in known.aliases if each.alias_name == self._config.collection)
        return next(led_to, None)

    async def first(self) -> str:
        """The name of the first one. Raises ConfigError where the alias cannot have its name."""
        alias = self._config.collection
        if await self._exists(alias) and not await self.in_use():
            raise ConfigError(
                f"'{alias}' is a collection of its own on the Qdrant server, and an alias of that name is needed; name "
                "another, or remove that one",
                path="index.collection",
            )
        return f"{alias}.1"

    async def following(self, wanted: Manifest) -> str:
        """The name of one that is not in use and was built as wanted, else of a new one; removes all others but that.

        So what a rebuild that was killed has left is gone on with, and the one before is gone back to.
        """
        used, found = await self.in_use(), None
        numbers = await self._numbers()
        for name in numbers:
            if name != used:
                manifest = await self.manifest(name)
                if found is None and manifest is not None and manifest.is_built_as(wanted):
                    found = name
                else:
                    await self.drop(name)
        return found or await self.unused()

    async def unused(self) -> str:
        """The name that follows on those that there are."""
        return f"{self._config.collection}.{max((await self._numbers()).values(), default=0) + 1}"

    async def make(self, name: str, dimension: int, fields: Mapping[str, FieldType]) -> None:
        """Creates the collection, unless it is there, and those of its payload indexes that are not."""
        if not await self._exists(name):
            wanted = new_collection(self._config, dimension)
            try:
                await self._calls.make(lambda: self._client.create_collection(name, **wanted))
            except BadDependency:  # another process may have made it at the same moment
                if not await self._exists(name):
                    raise
        if self._config.url != IN_MEMORY:  # the in-memory store has no indexes, and says so with a warning
            present = (await self._calls.make(lambda: self._client.get_collection(name))).payload_schema
            for path, schema in payload_indexes(fields).items():
                if path not in present:
                    await self._calls.make(partial(self._client.create_payload_index, name, path, schema))

    async def adopt(self, name: str) -> None:
        """Has the alias lead to that collection, in one step."""
        alias = self._config.collection
        steps: list[models.AliasOperations] = []
        if await self.in_use():
            steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        leading = models.CreateAlias(collection_name=name, alias_name=alias)
        steps.append(models.CreateAliasOperation(create_alias=leading))
        await self._calls.make(lambda: self._client.update_collection_aliases(steps))

    async def drop(self, name: str) -> None:
        """Removes a collection with all that is in it."""
        await self._calls.make(lambda: self._client.delete_collection(name))

    async def discard_unused(self) -> None:
        """Removes all that the alias does not lead to."""
        used = await self.in_use()
        for name in await self._numbers():
            if name != used:
                await self.drop(name)

    async def manifest(self, name: str) -> Manifest | None:
        """What the collection was built with: a point that no selection finds, because it has no tenant."""
        found = await self._calls.make(lambda: self._client.retrieve(name, [_MANIFEST]))
        return msgspec.convert((found[0].payload or {})["manifest"], Manifest) if found else None

    async def stamp(self, name: str, manifest: Manifest) -> None:
        """Writes down what the collection was built with."""
        point = models.PointStruct(id=_MANIFEST, vector={}, payload={"manifest": msgspec.to_builtins(manifest)})
        written = [models.UpsertOperation(upsert=models.PointsList(points=[point]))]
        await self._calls.make(lambda: self._client.batch_update_points(name, written, wait=True))

    async def _exists(self, name: str) -> bool:
        return await self._calls.make(lambda: self._client.collection_exists(name))

    async def _numbers(self) -> dict[str, int]:
        """The collections of this index that there are, with their numbers, by number."""
        ours = re.compile(re.escape(self._config.collection) + r"\.(\d+)")
        known = await self._calls.make(self._client.get_collections)
        found = {each.name: int(match[1]) for each in known.collections if (match := ours.fullmatch(each.name))}
        return dict(sorted(found.items(), key=lambda entry: entry[1]))
