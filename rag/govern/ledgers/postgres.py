"""The ledger that many machines share: PostgreSQL. Rows are locked in the order of their names: no deadlocks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from rag.base.errors import Unavailable
from rag.govern.ledger import SETTLED_LATE_S, Balance, Purse, Reservation

TIMEOUT_S = 2.0
MAX_CONNECTIONS = 8

_SCHEMA = """
SELECT pg_advisory_xact_lock(hashtext('groundwire ledger'));
CREATE TABLE IF NOT EXISTS ledger_balances (
    account TEXT NOT NULL,
    period TEXT NOT NULL,
    spent BIGINT NOT NULL DEFAULT 0,
    reserved BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account, period)
);
CREATE TABLE IF NOT EXISTS ledger_reservations (
    id TEXT NOT NULL,
    account TEXT NOT NULL,
    period TEXT NOT NULL,
    amount BIGINT NOT NULL,
    lease_until DOUBLE PRECISION NOT NULL,
    lapsed BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (id, account, period)
);
CREATE INDEX IF NOT EXISTS ledger_leases ON ledger_reservations (account, period, lease_until) WHERE NOT lapsed;
"""

_FORGET = "DELETE FROM ledger_reservations WHERE lapsed AND lease_until < extract(epoch FROM now()) - %s"
_SET_ASIDE = """
INSERT INTO ledger_balances AS balance (account, period, reserved)
SELECT %(account)s, %(period)s, %(amount)s::BIGINT WHERE %(amount)s <= %(most)s
ON CONFLICT (account, period) DO UPDATE SET reserved = balance.reserved + excluded.reserved
WHERE balance.spent + balance.reserved + excluded.reserved <= %(most)s
"""
_LAPSE = """
UPDATE ledger_reservations SET lapsed = TRUE WHERE account = %s AND period = %s AND lease_until <= %s AND NOT lapsed
RETURNING amount
"""
_HOLD = "INSERT INTO ledger_reservations (id, account, period, amount, lease_until) VALUES (%s, %s, %s, %s, %s)"
_MOVE = "UPDATE ledger_balances SET spent = spent + %s, reserved = reserved - %s WHERE account = %s AND period = %s"
_FREE = "DELETE FROM ledger_reservations WHERE id = %s RETURNING account, period, amount, lapsed"
_BALANCES = """
SELECT account, period, spent, reserved FROM ledger_balances
WHERE account = ANY(%(accounts)s) OR cardinality(%(accounts)s::TEXT[]) = 0 ORDER BY account, period
"""


class _Lacking(Exception):
    """Undoes the transaction in which `purse` did not have the amount."""

    def __init__(self, purse: Purse) -> None:
        super().__init__(purse)
        self.purse = purse


@asynccontextmanager
async def open_postgres_ledger(url: str) -> AsyncIterator["PostgresLedger"]:
    """The ledger in this database, whose tables are made if they are not there. Raises Unavailable."""
    pool = AsyncConnectionPool(url, min_size=1, max_size=MAX_CONNECTIONS, timeout=TIMEOUT_S, open=False)
    try:
        await pool.open()
        ledger = PostgresLedger(pool)
        await ledger.prepare()
        yield ledger
    finally:
        await pool.close()


class PostgresLedger:
    """A Ledger in a PostgreSQL database, shared by all who reach it."""

    def __init__(self, pool: "AsyncConnectionPool") -> None:
        self._pool = pool

    async def prepare(self) -> None:
        """Makes the tables, if they are not there. Raises Unavailable."""
        async with self._transaction() as connection:
            await connection.execute(_SCHEMA)
            await connection.execute(_FORGET, (SETTLED_LATE_S,))

    async def reserve(self, reservation: Reservation, now_s: float) -> Purse | None:
        """See the port."""
        purses = sorted(reservation.purses, key=lambda purse: (purse.account, purse.period))
        try:
            async with self._transaction() as connection:
                for purse in purses:
                    await _set_aside(connection, purse, reservation.microusd, now_s)
                    held = (reservation.microusd, reservation.lease_until_s)
                    await connection.execute(_HOLD, (reservation.id, purse.account, purse.period, *held))
        except _Lacking as lacking:
            return lacking.purse
        return None

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        async with self._transaction() as connection:
            freed = await connection.execute(_FREE, (reservation.id,))
            for account, period, amount, lapsed in sorted(await freed.fetchall()):
                move = (microusd - amount, 0) if lapsed else (microusd, amount)
                await connection.execute(_MOVE, (*move, account, period))

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """See the port."""
        async with self._transaction() as connection:
            found = await connection.execute(_BALANCES, {"accounts": list(accounts)})
            rows = await found.fetchall()
        return [
            Balance(account=account, period=period, spent_microusd=spent, reserved_microusd=reserved)
            for account, period, spent, reserved in rows
        ]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["psycopg.AsyncConnection"]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (psycopg.Error, PoolTimeout, OSError) as fault:
            raise Unavailable(f"the ledger's database does not answer: {type(fault).__name__}") from fault


async def _set_aside(connection: "psycopg.AsyncConnection", purse: Purse, microusd: int, now_s: float) -> None:
    await _lapse(connection, purse, now_s)
    row = {"account": purse.account, "period": purse.period, "amount": microusd, "most": purse.limit_microusd}
    if (await connection.execute(_SET_ASIDE, row)).rowcount != 1:
        raise _Lacking(purse)


async def _lapse(connection: "psycopg.AsyncConnection", purse: Purse, now_s: float) -> None:
    """Settles in full what was reserved in this purse by calls that ended without a word."""
    lapsed = await connection.execute(_LAPSE, (purse.account, purse.period, now_s))
    lost = sum(amount for (amount,) in await lapsed.fetchall())
    if lost:
        await connection.execute(_MOVE, (lost, lost, purse.account, purse.period))
