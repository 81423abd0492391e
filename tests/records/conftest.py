"""Both databases: SQLite always, PostgreSQL where its programs are installed."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from rag.base.secret import Secret
from rag.records.config import PostgresConfig, RecordsConfig, SqliteConfig
from rag.records.database import Database, open_database


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server of our own, behind a socket in a folder."""
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if not initdb or not pg_ctl:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    folder = Path(mkdtemp(prefix="groundwire-postgres-"))  # a short path, for the socket, that its user may enter
    user = 65534 if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if user is not None:
        os.chown(folder, user, user)
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

    run(initdb, "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync")
    run(
        pg_ctl,
        "-D",
        str(data),
        "-o",
        f"-k {folder} -c listen_addresses= -c fsync=off",
        "-l",
        str(folder / "log"),
        "-w",
        "start",
    )
    yield f"postgresql://tester@/postgres?host={folder}"
    run(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


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
