"""From configuration to a ledger, and to where rates are kept."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import assert_never

from rag.base.errors import ConfigError
from rag.govern.config import LedgerConfig, PostgresLedgerConfig, RedisLedgerConfig, SqliteLedgerConfig
from rag.govern.ledger import Ledger
from rag.govern.ledgers.shielded import shielded
from rag.govern.schedules import LocalSchedules, Schedules

FILE = "ledger.sqlite"


@asynccontextmanager
async def open_ledger(config: LedgerConfig, data_dir: Path) -> AsyncIterator[Ledger]:
    """The configured ledger. Raises ConfigError when its extra is not installed, Unavailable."""
    async with _ledger(config, data_dir) as ledger:
        if isinstance(config, SqliteLedgerConfig):  # it settles in one step, which nobody can interrupt
            yield ledger
        else:
            async with shielded(ledger) as patient:
                yield patient


@asynccontextmanager
async def open_schedules(config: LedgerConfig) -> AsyncIterator[Schedules]:
    """Where rates are kept: on the ledger's Redis server, else in this process. Raises ConfigError."""
    if not isinstance(config, RedisLedgerConfig):
        yield LocalSchedules()
        return
    try:
        from rag.govern.ledgers.redis import open_client
        from rag.govern.ledgers.redis_schedules import RedisSchedules
    except ModuleNotFoundError as missing:
        raise _extra_missing(config) from missing
    async with open_client(config.url.reveal()) as client:
        yield RedisSchedules(client)


def _ledger(config: LedgerConfig, data_dir: Path) -> AbstractAsyncContextManager[Ledger]:
    try:
        match config:
            case SqliteLedgerConfig():
                from rag.govern.ledgers.sqlite import open_sqlite_ledger

                return open_sqlite_ledger(data_dir / FILE)
            case RedisLedgerConfig():
                from rag.govern.ledgers.redis import open_redis_ledger

                return open_redis_ledger(config.url.reveal())
            case PostgresLedgerConfig():
                from rag.govern.ledgers.postgres import open_postgres_ledger

                return open_postgres_ledger(config.url.reveal())
            case _:
                assert_never(config)
    except ModuleNotFoundError as missing:
        raise _extra_missing(config) from missing


def _extra_missing(config: LedgerConfig) -> ConfigError:
    kind = type(config).__struct_config__.tag
    return ConfigError(
        f"the ledger of kind '{kind}' needs an extra: pip install 'groundwire[{kind}]'", path="ledger.kind"
    )
