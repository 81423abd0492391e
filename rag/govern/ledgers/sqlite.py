"""The ledger of one machine: a SQLite file. Its transactions take microseconds, so they run in the event loop.

What is asked for in one turn of the loop is one transaction, since beginning and ending it is most of what it costs.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import time

from msgspec import Struct

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
_BALANCE = "SELECT spent, reserved FROM balances WHERE account = ? AND period = ?"
_CHANGE = "REPLACE INTO balances (account, period, spent, reserved) VALUES (?, ?, ?, ?)"
_SET_ASIDE = "INSERT INTO reservations (id, account, period, amount, lease_until) VALUES (?, ?, ?, ?, ?)"
_GIVE_UP = "DELETE FROM reservations WHERE id = ? RETURNING account, period, amount, lapsed"


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
        self._asked: list[_Asked] = []
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
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._set_aside)
        asked = _Asked(reservation, now_s, loop.create_future())
        self._asked.append(asked)
        try:
            return await asked.lacking
        except asyncio.CancelledError:
            if asked.lacking.done() and not asked.lacking.cancelled():  # set aside, and nobody will come for it
                await self.settle(reservation, 0)
            raise

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        self._owed.append((reservation.id, microusd))
        if self._timer is None:
            self._flush_soon()

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """See the port."""
        chosen = f"WHERE account IN ({', '.join('?' * len(accounts))})" if accounts else ""
        with self._transaction():
            pass  # what is owed counts
        with _answering():
            rows = self._connection.execute(
                f"SELECT account, period, spent, reserved FROM balances {chosen} ORDER BY account, period",  # noqa: S608 question marks only
                tuple(accounts),
            ).fetchall()
        return [
            Balance(account=account, period=period, spent_microusd=spent, reserved_microusd=reserved)
            for account, period, spent, reserved in rows
        ]

    def _set_aside(self) -> None:
        """Answers all who asked in this turn of the loop."""
        asked, self._asked = [one for one in self._asked if not one.lacking.done()], []
        try:
            with self._transaction() as page:
                lacking = [page.claim(one.reservation, one.now_s) for one in asked]
        except Unavailable as error:
            for one in asked:
                one.lacking.set_exception(error)
            return
        for one, purse in zip(asked, lacking, strict=True):
            one.lacking.set_result(purse)

    @contextmanager
    def _transaction(self) -> Iterator["_Page"]:
        """One transaction, which is kept whole or undone, on top of what is owed."""
        with _answering():
            with transaction(self._connection) as connection:
                page = _Page(connection.cursor())
                for identifier, microusd in self._owed:
                    page.settle(identifier, microusd)
                yield page
                page.write()
            self._owed.clear()

    def _flush_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.flush)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise Unavailable(f"the ledger does not answer: {fault}") from fault


class _Asked(Struct, frozen=True, eq=False):
    """A reservation that waits for the next transaction, which tells the purse that lacks the money."""

    reservation: Reservation
    now_s: float
    lacking: asyncio.Future[Purse | None]


class _Balance(Struct):
    spent: int
    reserved: int
    is_changed: bool = False

    def move(self, spent: int, reserved: int) -> None:
        self.spent += spent
        self.reserved += reserved
        self.is_changed = True


class _Page:
    """The balances that one transaction moves: each is read once and written once, however many calls draw on it."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._balances: dict[tuple[str, str], _Balance] = {}
        self._looked_through: set[Purse] = set()
        self._set_aside: list[tuple[str, str, str, int, float]] = []

    def claim(self, reservation: Reservation, now_s: float) -> Purse | None:
        """Sets the money aside in every purse or in none; then the first that lacks it."""
        amount = reservation.microusd
        for purse in reservation.purses:
            self._lapse(purse, now_s)
            balance = self._balance(purse.account, purse.period)
            if balance.spent + balance.reserved + amount > purse.limit_microusd:
                return purse
        for purse in reservation.purses:
            self._balance(purse.account, purse.period).move(0, amount)
            self._set_aside.append((reservation.id, purse.account, purse.period, amount, reservation.lease_until_s))
        return None

    def settle(self, identifier: str, microusd: int) -> None:
        """Replaces a reservation, if it is there, by what the call did cost."""
        for account, period, amount, lapsed in self._cursor.execute(_GIVE_UP, (identifier,)).fetchall():
            spent, given_back = (microusd - amount, 0) if lapsed else (microusd, amount)
            self._balance(account, period).move(spent, -given_back)

    def write(self) -> None:
        """Writes what has changed."""
        self._cursor.executemany(_SET_ASIDE, self._set_aside)
        for (account, period), balance in self._balances.items():
            if balance.is_changed:
                self._cursor.execute(_CHANGE, (account, period, balance.spent, balance.reserved))

    def _lapse(self, purse: Purse, now_s: float) -> None:
        """Settles in full what was reserved in this purse by calls that ended without a word."""
        if purse in self._looked_through:
            return
        self._looked_through.add(purse)
        lapsed = self._cursor.execute(_LAPSE, (purse.account, purse.period, now_s)).fetchall()
        lost = sum(amount for (amount,) in lapsed)
        if lost:
            self._balance(purse.account, purse.period).move(lost, -lost)

    def _balance(self, account: str, period: str) -> _Balance:
        known = self._balances.get((account, period))
        if known is None:
            row = self._cursor.execute(_BALANCE, (account, period)).fetchone()
            known = self._balances[account, period] = _Balance(*(row or (0, 0)))
        return known
