"""A ledger on a server, on which calls are settled even while whoever made them is leaving."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rag.govern.ledger import Balance, Ledger, Purse, Reservation


class ShieldedLedger:
    """A Ledger around one that takes its time. Cancelled, a settlement goes on without its caller."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settling: set[asyncio.Task[None]] = set()

    async def reserve(self, reservation: Reservation, now_s: float) -> Purse | None:
        """See the port."""
        return await self._ledger.reserve(reservation, now_s)

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        task = asyncio.create_task(self._ledger.settle(reservation, microusd))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """See the port."""
        return await self._ledger.balances(accounts)

    async def done(self) -> None:
        """Waits for the settlements that nobody waits for any more."""
        await asyncio.gather(*self._settling, return_exceptions=True)


@asynccontextmanager
async def shielded(ledger: Ledger) -> AsyncIterator[Ledger]:
    """The ledger, which is not let go before what was begun on it is done."""
    shield = ShieldedLedger(ledger)
    try:
        yield shield
    finally:
        await shield.done()
