"""Taking a backup of a data folder, also while a server uses it."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, assert_never
from uuid import uuid4

from msgspec import Struct

from rag.backup.archive import ArchiveWriter, Contents
from rag.backup.folder import DATABASES, SNAPSHOT
from rag.base.errors import Conflict, Unavailable
from rag.base.folders import private_folder
from rag.index.config import EdgeConfig, QdrantConfig
from rag.index.factory import INDEX
from rag.index.manifest import MANIFEST, read_manifest
from rag.settings import MODELS, Settings

OUTBOX: Final = "backups"
"""The folder within the data folder where an archive waits until it is fetched."""

Still = Callable[[], AbstractAsyncContextManager[None]]
"""Inside of what it gives, nobody writes to the index."""


class Taken(Struct, frozen=True, kw_only=True):
    """An archive that waits to be fetched at `file` within the data folder, and how much is in it."""

    file: str
    version: str
    made_at: datetime
    files: int
    bytes: int


class Backups:
    """Takes backups of one data folder, one at a time. For one event loop."""

    def __init__(self, settings: Settings, still: Still) -> None:
        self._data_dir = settings.data_dir
        self._index = settings.index
        self._still = still
        self._taking = asyncio.Lock()

    async def take(self) -> Taken:
        """An archive of everything as it is now; an earlier one that nobody fetched is removed.

        Those who write to an embedded index wait while it is copied, a Qdrant server makes a snapshot of its own, and
        databases are copied as of one moment each. Raises Conflict while another is being taken, Unavailable when the
        disk is full, and as `save_snapshot` does.
        """
        if self._taking.locked():
            raise Conflict("a backup is being taken already; wait for it")
        async with self._taking:
            try:
                return await self._taken(self._data_dir / OUTBOX / f"{uuid4().hex}.tar")
            except (OSError, sqlite3.Error) as error:
                raise Unavailable(f"the backup could not be written: {error}") from error

    async def _taken(self, file: Path) -> Taken:
        await asyncio.to_thread(_clear, file.parent)
        with ArchiveWriter.opened(file) as archive:
            await self._add_index(archive, file.with_suffix(".snapshot"))
            contents = await asyncio.to_thread(_add_rest, archive, self._data_dir)
        return Taken(
            file=f"{OUTBOX}/{file.name}",
            version=contents.version,
            made_at=contents.made_at,
            files=len(contents.files),
            bytes=contents.n_bytes,
        )

    async def _add_index(self, archive: ArchiveWriter, passing: Path) -> None:
        match self._index:
            case EdgeConfig():
                async with self._still():
                    await asyncio.to_thread(_add_embedded, archive, self._data_dir / INDEX)
            case QdrantConfig():
                from rag.index.qdrant_snapshot import save_snapshot

                try:
                    if await save_snapshot(self._index, passing):
                        await asyncio.to_thread(archive.add, passing, SNAPSHOT)
                finally:
                    await asyncio.to_thread(passing.unlink, missing_ok=True)
            case _ as never:
                assert_never(never)


def _clear(outbox: Path) -> None:
    shutil.rmtree(outbox, ignore_errors=True)
    private_folder(outbox)


def _add_embedded(archive: ArchiveWriter, index: Path) -> None:
    """The shard that is in use; one that grows beside it, or is kept to go back to, can be built again."""
    manifest = read_manifest(index / MANIFEST)
    if manifest is not None:
        archive.add(index / MANIFEST, f"{INDEX}/{MANIFEST}")
        archive.add_folder(index / manifest.shard, f"{INDEX}/{manifest.shard}")


def _add_rest(archive: ArchiveWriter, data_dir: Path) -> Contents:
    for name in DATABASES:
        if (data_dir / name).exists():
            archive.add_database(data_dir / name, name)
    archive.add_folder(data_dir / MODELS, MODELS)
    return archive.finish(version("groundwire"), datetime.now(UTC))
