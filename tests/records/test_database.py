"""Works are transactions, the schema is brought up to date once, and a database that is away is only an error."""

import asyncio
from pathlib import Path

import pytest

from rag.base.errors import ConfigError, NotFound, Unavailable
from rag.records.config import RecordsConfig, SqliteConfig
from rag.records.connection import Connection
from rag.records.database import MIGRATIONS, Database, open_database, statements


def migrations(connection: Connection) -> list[int]:
    return [row["number"] for row in connection.execute("SELECT number FROM migrations ORDER BY number")]


async def test_the_schema_is_made_once_by_however_many_processes(config: RecordsConfig, tmp_path: Path) -> None:
    async with open_database(config, tmp_path) as one, open_database(config, tmp_path) as other:
        both = await asyncio.gather(one.run(migrations), other.run(migrations))
    assert both[0] == both[1] == [int(file.name[:4]) for file in sorted(MIGRATIONS.glob("*.sql"))]


async def test_work_that_fails_leaves_nothing_behind(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.change("INSERT INTO migrations (number, at_s) VALUES (:number, 0)", {"number": 900})
        raise NotFound("changed my mind")

    with pytest.raises(NotFound):
        await database.run(work)
    assert 900 not in await database.run(migrations)


async def test_a_schema_from_the_future_is_refused(config: RecordsConfig, tmp_path: Path) -> None:
    async with open_database(config, tmp_path) as database:
        await database.run(
            lambda connection: connection.change("INSERT INTO migrations VALUES (:number, 0)", {"number": 999})
        )
    async with open_database(config, tmp_path) as database:
        with pytest.raises(ConfigError, match="newer Groundwire"):
            await database.run(migrations)


async def test_an_error_of_the_database_is_unavailable_and_the_next_work_goes_on(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.run(lambda connection: connection.execute("SELECT * FROM nowhere"))
    assert await database.run(migrations)


async def test_a_place_that_cannot_be_written_is_unavailable_and_may_come_back(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("a file where the folder should be")
    async with open_database(SqliteConfig(), place) as database:
        with pytest.raises(Unavailable):
            await database.run(migrations)
        place.unlink()
        assert await database.run(migrations)


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    async with open_database(SqliteConfig(), tmp_path) as database:
        modes = await database.run(lambda _: {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()})
    assert modes == {"records.db": 0, "records.db-wal": 0, "records.db-shm": 0}


def test_a_colon_of_a_cast_is_no_name_and_a_percent_sign_stays() -> None:
    from rag.records.connection import _psycopg

    assert _psycopg("SELECT :a::text, '%' WHERE b = :b") == b"SELECT %(a)s::text, '%%' WHERE b = %(b)s"


def test_a_migration_is_split_into_its_statements() -> None:
    assert statements("-- why; not\nCREATE TABLE a (b TEXT);\n\nDROP TABLE a;\n") == [
        "CREATE TABLE a (b TEXT)",
        "DROP TABLE a",
    ]
