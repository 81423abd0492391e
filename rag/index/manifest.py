"""The file beside an embedded index that says what it was built with."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from rag.base.errors import ConfigError
from rag.index.config import Bm25Config, FieldType

MANIFEST: Final = "manifest.json"
SCHEMA: Final = 2
"""Rises when what is stored changes in a way that this code cannot read. 2: term weights without the store's IDF."""

_BUILD: Final = ("schema", "embedder", "dimension", "bm25")


class Manifest(Struct, frozen=True, kw_only=True):
    """What an index was built with, and the folder beside the file that holds it."""

    schema: int = SCHEMA
    embedder: str
    dimension: int
    bm25: Bm25Config
    fields: Mapping[str, FieldType]
    shard: str = "shard"

    def is_built_as(self, wanted: "Manifest") -> bool:
        """Whether what is stored can be searched as `wanted` says; declared fields may differ."""
        return all(getattr(self, name) == getattr(wanted, name) for name in _BUILD)

    def require_same_build(self, wanted: "Manifest", place: str) -> None:
        """Raises ConfigError that names the differences unless it `is_built_as` wanted."""
        differences = [
            f"{name} is {getattr(self, name)!r} and now {getattr(wanted, name)!r} is wanted"
            for name in _BUILD
            if getattr(self, name) != getattr(wanted, name)
        ]
        if differences:
            remedy = "run `rag reindex` to build it anew, or restore the setting"
            if self.schema != wanted.schema:
                remedy = "it is of another version of Groundwire: move the folder away and ingest the documents anew"
            raise ConfigError(f"{place} was built differently: {'; '.join(differences)}; {remedy}")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest, or None where there is none yet. Raises ConfigError when it cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; restore it or move the folder away") from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replaces the file in one step: after a crash or a power cut it is the old one or the new one, whole."""
    draft = path.with_suffix(f".{uuid4().hex}.new")  # two processes may create the same folder at once
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
