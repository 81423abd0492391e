"""Both databases: SQLite always, PostgreSQL where its programs are installed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rag.base.secret import Secret
from rag.records.config import PostgresConfig, RecordsConfig, SqliteConfig
from rag.records.database import Database, open_database
from tests.servers import postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest) -> RecordsConfig:
    if request.param == "sqlite":
        return SqliteConfig()
    url = request.getfixturevalue("postgres")
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return PostgresConfig(url=Secret(url))


@pytest.fixture
async def database(config: RecordsConfig, tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(config, tmp_path) as opened:
        yield opened
