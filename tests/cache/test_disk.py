"""What was kept is there again after a restart, and nothing that was made otherwise."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig
from cache.disk import FILE, open_cache_file
from cache.factory import open_memory
from cache.risk import Observation
from tests.cache.entries import entry, key_of

CONFIG = MemoryConfig()
FAR_S = 1e12
"""Entries of tests are stored at the time 0 and must not be too old for the real clock."""


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


async def test_a_restart_keeps_entries_vectors_and_observations(tmp_path: Path) -> None:
    kept = entry("a", ttl_s=FAR_S)
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(kept, epoch=5)
        remembered.memory.put(entry("b", ttl_s=FAR_S), epoch=5)
        remembered.memory.drop(key_of("b").digest)
        remembered.ledger.observe(b"a", Observation(0.9, "strict", True))
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        hit = remembered.memory.get(key_of("a"))
        assert hit is not None
        assert (hit.entry.answer, hit.entry.evidence, hit.entry.cited) == (kept.answer, kept.evidence, kept.cited)
        assert np.array_equal(hit.entry.question.vector, kept.question.vector)
        assert not remembered.memory.is_checked(hit.entry, 5), "the index may have changed meanwhile"
        assert remembered.memory.get(key_of("b")) is None
        assert remembered.memory.near(key_of("x"), kept.question.vector, 3)
        assert remembered.ledger.estimates()["strict"].n == 1


async def test_what_was_made_otherwise_is_not_there_and_comes_back_with_its_settings(tmp_path: Path) -> None:
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
    async with open_memory(CONFIG, tmp_path, "other") as remembered:
        assert len(remembered.memory) == 0
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        assert len(remembered.memory) == 1


async def test_what_is_too_old_or_too_much_stays_away(tmp_path: Path) -> None:
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        for number in range(9):
            remembered.memory.put(entry(str(number), now_s=number, ttl_s=FAR_S), epoch=1)
        remembered.memory.put(entry("old", ttl_s=1.0), epoch=1)
    size = entry("0").n_bytes
    async with open_memory(replace(CONFIG, max_bytes=3 * size), tmp_path, "one") as remembered:
        assert {kept.question.text for kept in remembered.memory.entries()} == {"6", "7", "8"}


async def test_a_broken_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database at all, " * 40)
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
    assert "starts anew" in caplog.text
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        assert len(remembered.memory) == 1


async def test_nothing_is_written_where_that_is_not_wanted(tmp_path: Path) -> None:
    async with open_memory(replace(CONFIG, persist=False), tmp_path, "one") as remembered:
        remembered.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
    assert contents(tmp_path) == []


async def test_what_is_dropped_is_wiped_from_the_file(tmp_path: Path) -> None:
    secret = entry("a question about something very secret", ttl_s=FAR_S)
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(secret, epoch=1)
        remembered.memory.drop(secret.key.digest)
    assert not any(b"very secret" in data for data in contents(tmp_path))


async def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    async with open_cache_file(tmp_path, "one"):
        assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


async def test_a_row_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
        remembered.memory.put(entry("b", ttl_s=FAR_S), epoch=1)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute("UPDATE entries SET entry = x'00' WHERE digest = ?", (key_of("a").digest,))
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        assert [kept.question.text for kept in remembered.memory.entries()] == ["b"]


async def test_clearing_leaves_nothing_in_the_file_of_other_settings_either(tmp_path: Path) -> None:
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        remembered.memory.put(entry("How ill is Ann?", ttl_s=FAR_S), epoch=1)
    async with open_memory(CONFIG, tmp_path, "other") as remembered:
        remembered.clear("acme")
    assert not any(b"How ill is Ann?" in content for content in contents(tmp_path))
    async with open_memory(CONFIG, tmp_path, "one") as remembered:
        assert len(remembered.memory) == 0
