"""SQLite files that several processes of one machine have open, each with a write-ahead log and for its owner only."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.base.folders import private_folder

ASK_AGAIN_S = 0.005


def open_sqlite(file: Path, wait_s: float, *, any_thread: bool = False) -> sqlite3.Connection:
    """The file, made if it is not there; each statement waits up to `wait_s` for other processes that write.

    A statement is a transaction by itself, outside of `transaction`. Raises sqlite3.Error and OSError.
    """
    private_folder(file.parent)
    file.touch(mode=0o600)  # the files that SQLite puts beside it get the same mode
    connection = sqlite3.connect(file, timeout=wait_s, isolation_level=None, check_same_thread=not any_thread)
    try:
        _write_ahead(connection, time.monotonic() + wait_s)
        connection.execute("PRAGMA synchronous = NORMAL")  # survives the death of the process; not of the machine
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it is stored, or nothing.

    Takes the write lock at once, so that two processes never both read first and then wait for each other.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection, until_s: float) -> None:
    """Asks until it is granted: SQLite does not wait by itself for another process that opens a new file just now."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(ASK_AGAIN_S)
        else:
            return
