"""The database of the records: opened when first needed, its schema brought up to date, all work in one thread."""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, assert_never

from rag.base.errors import ConfigError, GroundwireError, Unavailable
from rag.records.config import PostgresConfig, RecordsConfig, SqliteConfig
from rag.records.connection import Connection, PostgresConnection, SqliteConnection

FILE_NAME = "records.db"
MIGRATIONS = Path(__file__).parent / "migrations"

Result = TypeVar("Result")


class Database:
    """One connection that lives in one thread: works are transactions, one after the other, in the order they came.

    A database that is away costs those who use it an error and nothing else: the next work connects again.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="records")

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """What `work` gives; all that it did is stored, or nothing. Raises Unavailable, and what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def aclose(self) -> None:
        """Ends what runs, then the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[Connection], Result]) -> Result:
        try:
            if self._connection is None:
                self._connection = self._opened()
            with self._connection.transaction():
                return work(self._connection)
        except GroundwireError:
            raise
        except Exception as error:
            if not is_database_error(error):
                raise
            self._disconnect()
            raise Unavailable(f"the records database failed ({type(error).__name__})") from error

    def _opened(self) -> Connection:
        connection = self._connect()
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:
                if not is_database_error(error):
                    raise


@asynccontextmanager
async def open_database(config: RecordsConfig, data_dir: Path) -> AsyncIterator[Database]:
    """The database that the settings name. Raises ConfigError when its schema is newer than this program."""
    database = Database(_connecting(config, data_dir))
    try:
        yield database
    finally:
        await database.aclose()


def migrate(connection: Connection) -> None:
    """Brings the schema up to date: every migration once, in order. Raises ConfigError for one from the future."""
    with connection.transaction():
        if isinstance(connection, PostgresConnection):
            connection.execute("SELECT pg_advisory_xact_lock(7241)")
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, at_s DOUBLE PRECISION)")
        done = {row["number"] for row in connection.execute("SELECT number FROM migrations")}
        known = {int(file.name[:4]): file for file in sorted(MIGRATIONS.glob("*.sql"))}
        if unknown := done - known.keys():
            raise ConfigError(
                f"the records database was changed by a newer Groundwire (migration {max(unknown)}); use that one",
                path="records",
            )
        for number, file in known.items():
            if number not in done:
                for statement in statements(file.read_text(encoding="utf-8")):
                    connection.execute(statement)
                values = {"number": number, "at_s": time.time()}
                connection.change("INSERT INTO migrations (number, at_s) VALUES (:number, :at_s)", values)


def statements(script: str) -> list[str]:
    """The statements of a migration, comments left out; a semicolon ends a statement and stands nowhere else."""
    plain = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in plain.split(";") if statement.strip()]


def is_database_error(error: Exception) -> bool:
    """Whether it comes from a database or from its file."""
    return isinstance(error, sqlite3.Error | OSError) or type(error).__module__.startswith("psycopg")


def _connecting(config: RecordsConfig, data_dir: Path) -> Callable[[], Connection]:
    match config:
        case SqliteConfig():
            return partial(SqliteConnection, data_dir / FILE_NAME)
        case PostgresConfig():
            return partial(PostgresConnection, config.url, config.timeout_s)
        case _:
            assert_never(config)
