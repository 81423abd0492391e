"""The cache's file: what outlives the process. Written behind by one thread of its own, read once at start.

A cache may be lost, so nothing here waits for the disk, and a file that cannot be read is put aside for a new one.
Entries are found under a namespace: the settings and models that made them. Those of another namespace stay until they
are too old, so that a setting that is changed and changed back forgets nothing, and are never loaded meanwhile.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from cache.entry import Entry
from cache.risk import MAX_OBSERVATIONS, Observation
from cache.stored import decoded, encoded
from rag.base.sqlite import open_sqlite, transaction

_log = logging.getLogger(__name__)

FILE: Final = "cache.sqlite3"

BUSY_S: Final = 5.0
"""How long a write waits for another process that writes."""

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA: Final = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS entries
    (namespace TEXT, digest BLOB, ends_at REAL, entry BLOB, PRIMARY KEY (namespace, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS observations (number INTEGER PRIMARY KEY, namespace TEXT, observation BLOB);
"""

_observation: Final = msgspec.msgpack.Decoder(Observation)


class CacheFile:
    """The entries and observations of one namespace. For one event loop."""

    def __init__(self, connection: sqlite3.Connection, namespace: str, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._namespace = namespace
        self._thread = thread

    async def load(self, now_s: float, max_bytes: int) -> tuple[list[Entry], list[Observation]]:
        """What is kept, the newest entries as far as they fit, oldest first; forgets what is too old."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load, now_s, max_bytes)

    def put(self, entry: Entry) -> None:
        """Keeps an entry in place of any under its digest, soon."""
        row = (self._namespace, entry.key.digest, entry.stored_at_s + entry.ttl_s)
        self._soon("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", lambda: (*row, encoded(entry)))

    def drop(self, digest: bytes) -> None:
        """Forgets an entry, soon."""
        self._soon("DELETE FROM entries WHERE namespace = ? AND digest = ?", lambda: (self._namespace, digest))

    def drop_unseen(self) -> None:
        """Forgets the entries of all other namespaces, soon: nobody here can tell whose they are."""
        self._soon("DELETE FROM entries WHERE namespace != ?", lambda: (self._namespace,))

    def evict(self, digest: bytes) -> None:
        """As `drop`: the file holds what the memory holds."""
        self.drop(digest)

    def observe(self, observation: Observation) -> None:
        """Keeps a comparison, soon."""
        row = (self._namespace, msgspec.msgpack.encode(observation))
        self._soon("INSERT INTO observations (namespace, observation) VALUES (?, ?)", lambda: row)

    def _load(self, now_s: float, max_bytes: int) -> tuple[list[Entry], list[Observation]]:
        with transaction(self._connection) as connection:
            connection.execute("DELETE FROM entries WHERE ends_at <= ?", (now_s,))
            connection.execute(
                "DELETE FROM observations WHERE number <= (SELECT MAX(number) FROM observations) - ?",
                (MAX_OBSERVATIONS,),
            )
        rows = self._connection.execute(
            "SELECT entry FROM entries WHERE namespace = ? ORDER BY ends_at DESC", (self._namespace,)
        )
        seen = self._connection.execute(
            "SELECT observation FROM observations WHERE namespace = ? ORDER BY number", (self._namespace,)
        )
        return [*_fitting(rows, max_bytes)][::-1], [_observation.decode(row[0]) for row in seen]

    def _soon(self, statement: str, row: Callable[[], tuple[Any, ...]]) -> None:
        self._thread.submit(self._execute, statement, row)

    def _execute(self, statement: str, row: Callable[[], tuple[Any, ...]]) -> None:
        try:
            self._connection.execute(statement, row())
        except sqlite3.Error as error:
            _log.warning("the answer cache could not be written: %s", error)


def _fitting(rows: Iterable[tuple[bytes]], max_bytes: int) -> Iterable[Entry]:
    n_bytes = 0
    for (data,) in rows:
        try:
            entry = decoded(data)
        except msgspec.DecodeError as error:
            _log.warning("an entry of the answer cache cannot be read: %s", error)
            continue
        n_bytes += entry.n_bytes
        if n_bytes > max_bytes:
            return
        yield entry


@asynccontextmanager
async def open_cache_file(folder: Path, namespace: str) -> AsyncIterator[CacheFile]:
    """The file in the folder, made when missing; on leaving, all that was told is written."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
    loop = asyncio.get_running_loop()
    try:
        connection = await loop.run_in_executor(thread, _connected, folder / FILE)
        try:
            yield CacheFile(connection, namespace, thread)
        finally:
            await loop.run_in_executor(thread, connection.close)
    finally:
        thread.shutdown(wait=False)


def _connected(path: Path) -> sqlite3.Connection:
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in _DAMAGED:
            raise
        _log.warning("the answer cache %s cannot be read (%s) and starts anew", path, error)
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    connection = open_sqlite(path, BUSY_S, any_thread=True)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
