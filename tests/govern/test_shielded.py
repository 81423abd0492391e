import asyncio

import pytest

from rag.govern.ledger import Reservation
from rag.govern.ledgers.shielded import shielded

ONE = Reservation(id="one", purses=(), microusd=5, lease_until_s=1.0)


class Slow:
    """A ledger on a server that answers when it is told to."""

    def __init__(self):
        self.answers = asyncio.Event()
        self.began = asyncio.Event()
        self.settled = []

    async def settle(self, reservation, microusd):
        self.began.set()
        await self.answers.wait()
        self.settled.append((reservation.id, microusd))


async def test_a_settlement_goes_on_when_its_caller_is_cancelled_and_is_awaited_at_the_end():
    slow = Slow()
    async with shielded(slow) as ledger:
        leaving = asyncio.create_task(ledger.settle(ONE, 3))
        await slow.began.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert slow.settled == []
        slow.answers.set()
    assert slow.settled == [("one", 3)]


async def test_a_settlement_that_fails_is_told_to_whoever_waits():
    class Failing(Slow):
        async def settle(self, reservation, microusd):
            raise OSError("gone")

    async with shielded(Failing()) as ledger:
        with pytest.raises(OSError, match="gone"):
            await ledger.settle(ONE, 3)
