"""Who may look into the folders that hold documents and questions."""

import stat
from pathlib import Path

import pytest

from cache.disk import open_cache_file
from ingest.memory import SourceMemory
from rag.base.folders import private_folder
from rag.records.config import SqliteConfig
from rag.records.database import open_database


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_for_this_user_only(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "data")
    assert mode_of(tmp_path / "a" / "data") == 0o700


def test_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    private_folder(tmp_path)
    assert mode_of(tmp_path) == 0o750


async def records(folder: Path) -> None:
    async with open_database(SqliteConfig(), folder) as database:
        await database.run(lambda connection: connection.execute("SELECT 1"))


async def answers(folder: Path) -> None:
    async with open_cache_file(folder, "one"):
        pass


async def sources(folder: Path) -> None:
    with SourceMemory(folder / "sources.sqlite"):
        pass


@pytest.mark.parametrize("make", [records, answers, sources])
async def test_whoever_comes_first_makes_the_data_folder_private(make, tmp_path: Path) -> None:
    await make(tmp_path / "data")
    assert mode_of(tmp_path / "data") == 0o700
