"""A data folder with something of everything that a backup holds."""

from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from rag.backup.folder import DATABASES
from rag.base.sqlite import open_sqlite


def filled(data_dir: Path, word: str) -> Path:
    """A folder whose every part says the word; the index is a stand-in."""
    (data_dir / "index" / "shard" / "segments").mkdir(parents=True)
    manifest = '{"embedder": "e", "dimension": 2, "bm25": {}, "fields": {}}'
    (data_dir / "index" / "manifest.json").write_text(manifest)
    (data_dir / "index" / "shard" / "segments" / "points").write_text(word)
    (data_dir / "models" / "m").mkdir(parents=True)
    (data_dir / "models" / "m" / "card.json").write_text(word)
    for name in (*DATABASES, "cache.sqlite3"):
        with closing(open_sqlite(data_dir / name, 1)) as database:
            database.execute("CREATE TABLE said (word TEXT)")
            database.execute("INSERT INTO said VALUES (?)", (word,))
    return data_dir


def said(data_dir: Path) -> dict[str, str]:
    """What each part of a folder says; of a database that is not there, nothing is said."""
    words = {
        "index": (data_dir / "index" / "shard" / "segments" / "points").read_text(),
        "models": (data_dir / "models" / "m" / "card.json").read_text(),
    }
    for name in (*DATABASES, "cache.sqlite3"):
        if (data_dir / name).exists():
            with closing(open_sqlite(data_dir / name, 1)) as database:
                ((words[name],),) = database.execute("SELECT word FROM said")
    return words


@asynccontextmanager
async def still():
    yield


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return filled(tmp_path / "data", "old")
