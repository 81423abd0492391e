"""What of a data folder a backup holds, by name. Answers that are kept, and tokens, are not in it."""

from pathlib import Path
from typing import Final

from cache.disk import FILE as CACHE
from ingest.memory import FILE_NAME as SOURCES
from rag.govern.factory import FILE as LEDGER
from rag.index.factory import INDEX
from rag.records.database import FILE_NAME as RECORDS
from rag.settings import MODELS

DATABASES: Final = (RECORDS, LEDGER, SOURCES)
FOLDERS: Final = (INDEX, MODELS)
KEPT: Final = frozenset({*DATABASES, *FOLDERS})
SNAPSHOT: Final = "collection.snapshot"
"""The index of a Qdrant server, which a backup holds beside what it holds of the folder."""

_BESIDE: Final = ("", "-wal", "-shm")
"""A SQLite file, and what SQLite keeps beside it, which must never meet another file of that name."""


def present(data_dir: Path) -> list[str]:
    """Which of what a backup holds is in the folder."""
    return sorted(name for name in KEPT if (data_dir / name).exists())


def files_of(data_dir: Path, name: str) -> list[Path]:
    """What belongs to that name, whether or not it is there."""
    return [data_dir / name] if name in FOLDERS else [data_dir / f"{name}{beside}" for beside in _BESIDE]


def forgotten(data_dir: Path) -> list[Path]:
    """What a folder must not keep when another content comes into it: answers that were written from the old one."""
    return files_of(data_dir, CACHE)
