"""The ledger that many machines share: PostgreSQL.

A reservation is one call of a function there, so that rows that everyone wants are locked for no longer than it takes;
they are locked in the order of their names, so that no two wait for each other.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from rag.base.errors import Unavailable
from rag.govern.ledger import SETTLED_LATE_S, Balance, Purse, Reservation

TIMEOUT_S = 5.0
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

CREATE OR REPLACE FUNCTION ledger_set_aside(
    id TEXT, account_ TEXT, period_ TEXT, amount_ BIGINT, most BIGINT, until_ DOUBLE PRECISION, now_ DOUBLE PRECISION
) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    lost BIGINT;
BEGIN
    INSERT INTO ledger_balances (account, period) VALUES (account_, period_) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM ledger_balances b WHERE b.account = account_ AND b.period = period_ FOR UPDATE;
    WITH ended AS (
        UPDATE ledger_reservations r SET lapsed = TRUE
        WHERE r.account = account_ AND r.period = period_ AND r.lease_until <= now_ AND NOT r.lapsed
        RETURNING r.amount
    )
    SELECT coalesce(sum(ended.amount), 0) INTO lost FROM ended;
    UPDATE ledger_balances b SET spent = b.spent + lost, reserved = b.reserved - lost + amount_
    WHERE b.account = account_ AND b.period = period_ AND b.spent + b.reserved + amount_ <= most;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    INSERT INTO ledger_reservations VALUES (id, account_, period_, amount_, until_);
    RETURN TRUE;
END $$;

CREATE OR REPLACE FUNCTION ledger_reserve(
    id TEXT, accounts TEXT[], periods TEXT[], most BIGINT[],
    amount BIGINT, until_ DOUBLE PRECISION, now_ DOUBLE PRECISION
) RETURNS INTEGER LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..cardinality(accounts) LOOP
        IF NOT ledger_set_aside(id, accounts[i], periods[i], amount, most[i], until_, now_) THEN
            RAISE EXCEPTION USING ERRCODE = 'GW001', MESSAGE = i::TEXT;
        END IF;
    END LOOP;
    RETURN 0;
EXCEPTION WHEN SQLSTATE 'GW001' THEN
    RETURN SQLERRM::INTEGER;
END $$;
"""

_FORGET = "DELETE FROM ledger_reservations WHERE lapsed AND lease_until < extract(epoch FROM now()) - %s"
_RESERVE = "SELECT ledger_reserve(%s, %s::TEXT[], %s::TEXT[], %s::BIGINT[], %s, %s, %s)"
_SETTLE = """
WITH freed AS (DELETE FROM ledger_reservations WHERE id = %(id)s RETURNING account, period, amount, lapsed),
locked AS (
    SELECT b.account, b.period, freed.amount, freed.lapsed FROM ledger_balances b JOIN freed USING (account, period)
    ORDER BY b.account, b.period FOR UPDATE OF b
)
UPDATE ledger_balances b
SET spent = b.spent + %(cost)s - CASE WHEN locked.lapsed THEN locked.amount ELSE 0 END,
    reserved = b.reserved - CASE WHEN locked.lapsed THEN 0 ELSE locked.amount END
FROM locked WHERE b.account = locked.account AND b.period = locked.period
"""
_BALANCES = """
SELECT account, period, spent, reserved FROM ledger_balances
WHERE account = ANY(%(accounts)s) OR cardinality(%(accounts)s::TEXT[]) = 0 ORDER BY account, period
"""


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
        row = (
            reservation.id,
            [purse.account for purse in purses],
            [purse.period for purse in purses],
            [purse.limit_microusd for purse in purses],
            reservation.microusd,
            reservation.lease_until_s,
            now_s,
        )
        async with self._transaction() as connection:
            [lacking] = await (await connection.execute(_RESERVE, row)).fetchone() or [0]
        return purses[lacking - 1] if lacking else None

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        async with self._transaction() as connection:
            await connection.execute(_SETTLE, {"id": reservation.id, "cost": microusd})

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
