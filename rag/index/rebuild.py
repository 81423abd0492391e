"""An embedded index built anew beside the one in use, and the one step from the old to the new."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from rag.base.errors import ConfigError
from rag.index.config import EdgeConfig, FusionConfig
from rag.index.edge import EdgeStore
from rag.index.filters import Fields
from rag.index.manifest import MANIFEST, SCHEMA, Manifest, read_manifest, write_manifest

NEXT: Final = "index.next"
"""The folder beside the index in which the new one grows; it is found again by a run that follows a killed one."""


@asynccontextmanager
async def open_as_built(index: Path, config: EdgeConfig) -> AsyncIterator[EdgeStore]:
    """The index as its own manifest says, whatever the settings say now. Raises ConfigError, Unavailable."""
    manifest = _manifest(index)
    store = await EdgeStore.open(
        index,
        config=msgspec.structs.replace(config, bm25=manifest.bm25),
        fusion=FusionConfig(),
        fields=Fields(manifest.fields),
        embedder_name=manifest.embedder,
        dimension=manifest.dimension,
    )
    try:
        yield store
    finally:
        await store.close()


def adopt(index: Path, built: Path) -> None:
    """Puts the closed index in `built` in the place of the closed one in `index`, by all the steps of `adoption`."""
    for _ in adoption(index, built):
        pass


def adoption(index: Path, built: Path) -> Iterator[str]:
    """The steps from one index to the other, named as each is done.

    The manifest is what decides, and it is replaced in one step: killed before that the old index is in use, killed
    after it the new one is. What is left of the other is removed by the next adoption.
    """
    new = _manifest(built)
    shard = f"shard-{uuid4().hex}"
    (built / new.shard).rename(index / shard)
    yield "shard moved"
    write_manifest(index / MANIFEST, msgspec.structs.replace(new, shard=shard))
    yield "manifest replaced"
    shutil.rmtree(built)
    yield "remainder removed"
    for folder in index.iterdir():
        if folder.is_dir() and folder.name != shard:
            shutil.rmtree(folder)
            yield "old shard removed"


def _manifest(index: Path) -> Manifest:
    manifest = read_manifest(index / MANIFEST)
    if manifest is None:
        raise ConfigError(f"there is no index in {index}; `rag ingest` makes one")
    if manifest.schema != SCHEMA:
        raise ConfigError(
            f"the index in {index} was written by another version of Groundwire (schema {manifest.schema}, this one "
            f"reads {SCHEMA}); move the folder away and ingest the documents anew"
        )
    return manifest
