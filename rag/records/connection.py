"""One SQL for two databases: SQLite from the standard library, or PostgreSQL through psycopg.

Statements name their values as `:name` and use what both understand; rows come as mappings by column.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.base.sqlite import open_sqlite, transaction

Value = str | int | float | bytes | None
Row = dict[str, Any]

BUSY_S = 5.0
"""How long SQLite waits for another process that writes, such as `rag log erase`."""

ROWS_AT_ONCE = 200
"""Of SQLite's 32,766 values in one statement."""

_NAMED = re.compile(r"(?<!:):([a-z_]+)")


class Connection(Protocol):
    """An open connection. Belongs to one thread; statements stand inside of `transaction`."""

    def transaction(self) -> Any:
        """A context manager: all of it is stored, or nothing."""
        ...

    def execute(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Row]:
        """Runs one statement and gives its rows; none for one that has none."""
        ...

    def change(self, sql: str, values: Mapping[str, Value] | Iterable[Mapping[str, Value]]) -> int:
        """Runs one statement, once for each of the mappings, and says how many rows it changed."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """Stores many rows. The names are ours, and never what somebody said."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class SqliteConnection:
    """A file with a write-ahead log: readers and one writer do not wait for each other."""

    def __init__(self, file: Path) -> None:
        self._raw = open_sqlite(file, BUSY_S)
        self._raw.row_factory = sqlite3.Row
        self._raw.execute("PRAGMA foreign_keys = ON")
        self._raw.execute("PRAGMA secure_delete = ON")

    def transaction(self) -> AbstractContextManager[object]:
        """See Connection."""
        return transaction(self._raw)

    def execute(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Row]:
        """See Connection."""
        return [dict(row) for row in self._raw.execute(sql, values or {})]

    def change(self, sql: str, values: Mapping[str, Value] | Iterable[Mapping[str, Value]]) -> int:
        """See Connection."""
        return self._raw.executemany(sql, [values] if isinstance(values, Mapping) else values).rowcount

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """See Connection. Some hundred rows are one statement.

        Every statement lets go of the interpreter and has to get it back from the event loop: a log that was written
        row by row took a sixth of what a gateway can do (2 cores, 2026-11-24).
        """
        begins = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names of ours, see the protocol
        marks = f"({', '.join('?' * len(columns))})"
        for at in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[at : at + ROWS_AT_ONCE]
            self._raw.execute(begins + ", ".join([marks] * len(some)), [*chain.from_iterable(some)])

    def close(self) -> None:
        """See Connection. What was erased is then gone from the write-ahead log too, whoever else has the file open."""
        try:
            self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._raw.close()


class PostgresConnection:
    """A PostgreSQL connection. Several processes that migrate at once wait for each other."""

    def __init__(self, url: Secret, timeout_s: float) -> None:
        try:
            import psycopg
            from psycopg.rows import dict_row
        except ImportError as error:
            raise ConfigError("records.kind = 'postgres' needs `pip install groundwire[postgres]`") from error
        options = f"-c statement_timeout={int(1000 * timeout_s)}"
        self._raw: psycopg.Connection[Row] = psycopg.connect(
            url.reveal(),
            connect_timeout=max(1, round(timeout_s)),
            options=options,
            autocommit=True,
            row_factory=dict_row,
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See Connection."""
        with self._raw.transaction():
            yield

    def execute(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Row]:
        """See Connection."""
        cursor = self._raw.execute(_psycopg(sql), values or {})
        return cursor.fetchall() if cursor.description else []

    def change(self, sql: str, values: Mapping[str, Value] | Iterable[Mapping[str, Value]]) -> int:
        """See Connection."""
        with self._raw.cursor() as cursor:
            cursor.executemany(_psycopg(sql), [values] if isinstance(values, Mapping) else list(values))
            return cursor.rowcount

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        """See Connection."""
        marks = ", ".join(["%s"] * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - as above
        with self._raw.cursor() as cursor:
            cursor.executemany(sql.encode(), rows)

    def close(self) -> None:
        """See Connection."""
        self._raw.close()


def _psycopg(sql: str) -> bytes:
    """The statement with its values named as psycopg does, `%(name)s`."""
    return _NAMED.sub(r"%(\1)s", sql.replace("%", "%%")).encode()
