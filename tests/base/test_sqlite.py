"""Files of SQLite: private, all or nothing, and opened by however many at the same moment."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from rag.base.sqlite import open_sqlite, transaction


def test_it_waits_while_another_has_the_new_file_to_itself(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(lambda: open_sqlite(file, 30.0, any_thread=True))
        with pytest.raises(TimeoutError):
            opened.result(timeout=0.1)
        other.execute("COMMIT")
        opened.result().close()
    other.close()


def test_many_may_make_one_file_at_once(tmp_path: Path) -> None:
    start = Barrier(8)

    def opened(number: int) -> str:
        start.wait()
        connection = open_sqlite(tmp_path / f"{number % 25}.db", 30.0)
        try:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        for number in range(25):
            assert list(pool.map(opened, [number] * 8)) == ["wal"] * 8


def test_one_that_is_never_free_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        open_sqlite(file, 0.01)
    other.close()


def test_what_fails_leaves_nothing_and_the_next_is_kept(tmp_path: Path) -> None:
    connection = open_sqlite(tmp_path / "new.db", 1.0)
    connection.execute("CREATE TABLE kept (number INTEGER UNIQUE)")
    with pytest.raises(sqlite3.IntegrityError), transaction(connection):
        connection.executemany("INSERT INTO kept VALUES (?)", [(1,), (1,)])
    with transaction(connection):
        connection.execute("INSERT INTO kept VALUES (2)")
    assert connection.execute("SELECT number FROM kept").fetchall() == [(2,)]
    connection.close()


def test_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    connection = open_sqlite(tmp_path / "new.db", 1.0)
    connection.execute("CREATE TABLE kept (number INTEGER)")
    assert {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {
        "new.db": 0,
        "new.db-shm": 0,
        "new.db-wal": 0,
    }
    connection.close()
