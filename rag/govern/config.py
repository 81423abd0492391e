"""Where money is counted: the `kind` of the section `[ledger]`."""

from msgspec import Struct

from rag.base.secret import Secret


class SqliteLedgerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sqlite"):
    """A file in the data folder: for one server."""


class RedisLedgerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="redis"):
    """A Redis or Valkey server that several servers share, by its URL. Needs the extra `redis`."""

    url: Secret


class PostgresLedgerConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="postgres"
):
    """A PostgreSQL database that several servers share, by its URL. Needs the extra `postgres`."""

    url: Secret


LedgerConfig = SqliteLedgerConfig | RedisLedgerConfig | PostgresLedgerConfig
