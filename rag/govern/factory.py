"""From configuration to a ledger."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import assert_never

from rag.base.errors import ConfigError
from rag.govern.config import LedgerConfig, PostgresLedgerConfig, RedisLedgerConfig, SqliteLedgerConfig
from rag.govern.ledger import Ledger

FILE = "ledger.sqlite"


@asynccontextmanager
async def open_ledger(config: LedgerConfig, data_dir: Path) -> AsyncIterator[Ledger]:
    """The configured ledger. Raises ConfigError when its extra is not installed, Unavailable."""
    async with _ledger(config, data_dir) as ledger:
        yield ledger


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
        kind = type(config).__struct_config__.tag
        raise ConfigError(
            f"the ledger of kind '{kind}' needs an extra: pip install 'groundwire[{kind}]'", path="ledger.kind"
        ) from missing
