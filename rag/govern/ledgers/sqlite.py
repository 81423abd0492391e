"""The ledger of one machine: a SQLite file. Its transactions take microseconds, so they run where they are called."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import time

from rag.base.errors import Unavailable, for_the_log
from rag.base.sqlite import open_sqlite, transaction
from rag.govern.ledger import SETTLED_LATE_S, Balance, Purse, Reservation

_log = logging.getLogger(__name__)

BUSY_S = 0.2
"""How long a transaction waits for that of another process: it holds up the event loop for as long."""

CHECKPOINT_PAGES = 16_000
"""How many pages, of 4 KiB, the log of the file grows before they are brought home, which waits for the disk.

SQLite's own 1,000 were full after 250 calls: the event loop stood still for 60 to 95 ms then, and a reservation took
160 to 200 µs instead of 65 to 80 (busy machine, 2026-11-23).
"""

GATHER_S = 0.02
"""How long what calls did cost waits for the next transaction, which is half of what either costs by itself."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS balances (
    account TEXT NOT NULL,
    period TEXT NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, period)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    id TEXT NOT NULL,
    account TEXT NOT NULL,
    period TEXT NOT NULL,
    amount INTEGER NOT NULL,
    lease_until REAL NOT NULL,
    lapsed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, account, period)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases ON reservations (account, period, lease_until) WHERE NOT lapsed;
"""

_LAPSE = """
UPDATE reservations SET lapsed = 1 WHERE account = ? AND period = ? AND lease_until <= ? AND NOT lapsed
RETURNING amount
"""
_SET_ASIDE = """
INSERT INTO balances (account, period, reserved) SELECT ?1, ?2, ?3 WHERE ?3 <= ?4
ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved WHERE spent + reserved + excluded.reserved <= ?4
"""
_MOVE = "UPDATE balances SET spent = spent + ?, reserved = reserved - ? WHERE account = ? AND period = ?"


@asynccontextmanager
async def open_sqlite_ledger(file: Path) -> AsyncIterator["SqliteLedger"]:
    """The ledger in this file, made if it is not there. Raises Unavailable."""
    try:
        connection = open_sqlite(file, BUSY_S)
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.executescript(_SCHEMA)
        connection.execute("DELETE FROM reservations WHERE lapsed AND lease_until < ?", (time() - SETTLED_LATE_S,))
    except (sqlite3.Error, OSError) as fault:
        raise Unavailable(f"the ledger {file} cannot be opened: {fault}") from fault
    ledger = SqliteLedger(connection)
    try:
        yield ledger
    finally:
        ledger.flush()
        connection.close()


class SqliteLedger:
    """A Ledger in a SQLite file, shared by the processes of one machine.

    What a call did cost is written with the next reservation, or soon: if the process dies before, the reservation
    counts in full when its lease ends, which is never too little.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._owed: list[tuple[str, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def flush(self) -> None:
        """Writes what calls did cost. What cannot be written is kept for the next time."""
        self._timer = None
        if not self._owed:  # a reservation took it along
            return
        try:
            with self._transaction():
                pass
        except Unavailable as error:
            _log.warning("calls could not be settled yet: %s", for_the_log(error))
            self._flush_soon()

    async def reserve(self, reservation: Reservation, now_s: float) -> Purse | None:
        """See the port."""
        with self._transaction() as cursor:
            cursor.execute("SAVEPOINT claim")
            for purse in reservation.purses:
                _lapse(cursor, purse, now_s)
                row = (purse.account, purse.period, reservation.microusd, purse.limit_microusd)
                if cursor.execute(_SET_ASIDE, row).rowcount != 1:
                    cursor.execute("ROLLBACK TO claim")
                    return purse
            cursor.executemany(
                "INSERT INTO reservations (id, account, period, amount, lease_until) VALUES (?, ?, ?, ?, ?)",
                [
                    (reservation.id, purse.account, purse.period, reservation.microusd, reservation.lease_until_s)
                    for purse in reservation.purses
                ],
            )
        return None

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        self._owed.append((reservation.id, microusd))
        if self._timer is None:
            self._flush_soon()

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """See the port."""
        chosen = f"WHERE account IN ({', '.join('?' * len(accounts))})" if accounts else ""
        with self._transaction() as cursor:
            rows = cursor.execute(
                f"SELECT account, period, spent, reserved FROM balances {chosen} ORDER BY account, period",  # noqa: S608 question marks only
                tuple(accounts),
            ).fetchall()
        return [
            Balance(account=account, period=period, spent_microusd=spent, reserved_microusd=reserved)
            for account, period, spent, reserved in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        """One transaction, which is kept whole or undone, on top of what is owed."""
        try:
            with transaction(self._connection) as connection:
                cursor = connection.cursor()
                for identifier, microusd in self._owed:
                    _settle(cursor, identifier, microusd)
                yield cursor
            self._owed.clear()
        except sqlite3.Error as fault:
            raise Unavailable(f"the ledger does not answer: {fault}") from fault

    def _flush_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)


def _settle(cursor: sqlite3.Cursor, identifier: str, microusd: int) -> None:
    held = cursor.execute(
        "DELETE FROM reservations WHERE id = ? RETURNING account, period, amount, lapsed", (identifier,)
    ).fetchall()
    for account, period, amount, lapsed in held:
        move = (microusd - amount, 0) if lapsed else (microusd, amount)
        cursor.execute(_MOVE, (*move, account, period))


def _lapse(cursor: sqlite3.Cursor, purse: Purse, now_s: float) -> None:
    """Settles in full what was reserved in this purse by calls that ended without a word."""
    lost = sum(amount for (amount,) in cursor.execute(_LAPSE, (purse.account, purse.period, now_s)).fetchall())
    if lost:
        cursor.execute(_MOVE, (lost, lost, purse.account, purse.period))
