"""An embedded index built anew beside the one in use, and the one step from the old to the new.

All live in one folder, and a manifest names the shard that belongs to it: `manifest.json` is the index in use,
`next.json` the one that grows, and `previous.json` the one that was in use before, kept to go back to.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from rag.base.errors import ConfigError, Unavailable
from rag.base.ports import Embedder
from rag.index.config import EdgeConfig, FusionConfig
from rag.index.edge import EdgeStore
from rag.index.edge_shard import open_shard
from rag.index.filters import Fields
from rag.index.manifest import MANIFEST, SCHEMA, Manifest, read_manifest, write_manifest

NEXT: Final = "next.json"
PREVIOUS: Final = "previous.json"
OPTIMIZE_TIMEOUT_S: Final = 3600.0


async def open_as_built(index: Path, config: EdgeConfig) -> EdgeStore:
    """The index as its own manifest says, whatever the settings say now. Raises ConfigError, Unavailable."""
    manifest = _manifest(index / MANIFEST)
    return await EdgeStore.open(
        index,
        config=msgspec.structs.replace(config, bm25=manifest.bm25),
        fusion=FusionConfig(),
        fields=Fields(manifest.fields),
        embedder_name=manifest.embedder,
        dimension=manifest.dimension,
    )


def require_unused(index: Path) -> None:
    """Raises ConfigError while another process has the index open. One that cannot be read is in nobody's use."""
    for shard in index.glob("shard*"):
        with suppress(Unavailable):
            open_shard(shard, 0).close()


async def open_next(
    index: Path, embedder: Embedder, *, config: EdgeConfig, fusion: FusionConfig, fields: Fields
) -> EdgeStore:
    """The index that grows beside the one in use, with what an earlier run left of it.

    Where there is none, that is the previous index if it was built as is wanted now: what has changed since is little.
    """
    wanted = Manifest(embedder=embedder.name, dimension=embedder.dimension, bm25=config.bm25, fields=fields.declared)
    await asyncio.to_thread(_prepare, index, wanted)
    return await EdgeStore.open(
        index,
        config=config,
        fusion=fusion,
        fields=fields,
        embedder_name=embedder.name,
        dimension=embedder.dimension,
        manifest=NEXT,
    )


async def optimize_next(index: Path) -> None:
    """Builds the search index of the next index, which must be closed, in a process of its own: it stops its process.

    Raises Unavailable when that fails.
    """
    shard = index / _manifest(index / NEXT).shard
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "rag.index.optimize", str(shard))
    try:
        code = await asyncio.wait_for(process.wait(), OPTIMIZE_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        raise Unavailable(f"building the search index of the next index ended with {code}; the log says why")


class EdgeRebuild:
    """See `rag.index.factory.Rebuild`. Nobody else writes: the folder is open in this process only."""

    def __init__(self, index: Path, config: EdgeConfig) -> None:
        self._index = index
        self._config = config

    async def open_present(self) -> EdgeStore:
        """The index as its own manifest says, whatever the settings say now."""
        return await open_as_built(self._index, self._config)

    async def open_next(self, embedder: Embedder, fusion: FusionConfig, fields: Fields) -> EdgeStore:
        """The index that grows beside it."""
        return await open_next(self._index, embedder, config=self._config, fusion=fusion, fields=fields)

    async def optimize(self) -> None:
        """Builds the search index of the next one, which must be closed."""
        await optimize_next(self._index)

    async def adopt(self) -> None:
        """Puts the next index in the place of the one in use; both may be open."""
        await asyncio.to_thread(adopt, self._index)

    async def outlast_writers(self) -> bool:
        """Nobody to wait for."""
        return False

    async def discard_previous(self) -> None:
        """Removes the index that is kept to go back to, which must be closed."""
        await asyncio.to_thread(discard_previous, self._index)


def adopt(index: Path) -> None:
    """Puts the next index in the place of the one in use, by all the steps of `adoption`. Both may be open."""
    for _ in adoption(index):
        pass


def adoption(index: Path) -> Iterator[str]:
    """The steps from one index to the other, named as each is done.

    Which manifest is `manifest.json` decides, and it is replaced in one step: killed before that the old index is in
    use, killed after it the new one is.
    """
    write_manifest(index / PREVIOUS, _manifest(index / MANIFEST))
    yield "previous noted"
    (index / NEXT).replace(index / MANIFEST)
    _flush(index)
    yield "manifest replaced"


def discard_previous(index: Path) -> None:
    """Removes the index that is kept to go back to, which must be closed."""
    (index / PREVIOUS).unlink(missing_ok=True)
    _sweep(index)


def _prepare(index: Path, wanted: Manifest) -> None:
    current, following = _manifest(index / MANIFEST), read_manifest(index / NEXT)
    if following is None or not following.is_built_as(wanted):
        previous = read_manifest(index / PREVIOUS)
        if previous and previous.shard != current.shard and previous.is_built_as(wanted):
            (index / PREVIOUS).replace(index / NEXT)
        else:
            write_manifest(index / NEXT, msgspec.structs.replace(wanted, shard=f"shard-{uuid4().hex}"))
    _sweep(index)


def _sweep(index: Path) -> None:
    """Removes the shards that no manifest names, such as what is left of a rebuild that was given up."""
    manifests = [read_manifest(index / name) for name in (MANIFEST, NEXT, PREVIOUS)]
    named = {manifest.shard for manifest in manifests if manifest}
    for folder in index.iterdir():
        if folder.is_dir() and folder.name not in named:
            shutil.rmtree(folder)


def _flush(folder: Path) -> None:
    """Makes a renaming survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(file: Path) -> Manifest:
    manifest = read_manifest(file)
    if manifest is None:
        raise ConfigError(f"there is no index in {file.parent}; `rag ingest` makes one")
    if manifest.schema != SCHEMA:
        raise ConfigError(
            f"the index in {file.parent} was written by another version of Groundwire (schema {manifest.schema}, this "
            f"one reads {SCHEMA}); move the folder away and ingest the documents anew"
        )
    return manifest
