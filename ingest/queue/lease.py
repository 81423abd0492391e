"""Work that nobody else may do at the same time: names are leased, renewed while it goes on, and given back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from ingest.embed import Sleep
from rag.base.deadline import Clock
from rag.base.errors import Conflict, DependencyError, TransientIngestError
from rag.base.ids import request_id
from rag.records import leases
from rag.records.database import Database

LOOK_AGAIN_S = 0.2


class LeaseLost(TransientIngestError):
    """Others may have taken what was leased: what is being done must not go on."""


class Lease:
    """The names that one piece of work holds. Made by `leasing`."""

    def __init__(self, database: Database, seconds: float, clock: Clock, sleep: Sleep) -> None:
        self._database = database
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._holder = request_id()
        self._names: set[str] = set()
        self._until_s = 0.0

    async def take(self, *names: str) -> None:
        """Returns when it holds all of the names. Raises TransientIngestError where others keep one for too long."""
        give_up_s = self._clock() + self._seconds
        while not await self._took(names):
            if self._clock() >= give_up_s:
                raise TransientIngestError("another worker has this document, or one that holds the same")
            await self._sleep(LOOK_AGAIN_S)
        self._names |= set(names)

    async def renewing(self, lost: Callable[[], None], beat: Callable[[], Awaitable[None]]) -> None:
        """Renews for ever, and says so where it could not."""
        while True:
            await self._sleep(self._seconds / 3)
            if not await self._renewed():
                lost()
                return
            with suppress(DependencyError):
                await beat()

    async def give_back(self) -> None:
        """Ends the lease; where the database is away it ends by itself."""
        with suppress(DependencyError):
            await self._database.run(partial(leases.give_back, holder=self._holder))

    async def _took(self, names: Sequence[str]) -> bool:
        now_s = self._clock()
        until_s = now_s + self._seconds
        work = partial(leases.take, names=names, holder=self._holder, now_s=now_s, until_s=until_s)
        try:
            await self._database.run(work)
        except Conflict:
            return False
        self._until_s = until_s
        return True

    async def _renewed(self) -> bool:
        now_s = self._clock()
        until_s = now_s + self._seconds
        work = partial(leases.renew, holder=self._holder, now_s=now_s, until_s=until_s)
        try:
            if await self._database.run(work) < len(self._names):
                return False
        except DependencyError:
            return now_s < self._until_s
        self._until_s = until_s
        return True


@asynccontextmanager
async def leasing(
    database: Database, seconds: float, beat: Callable[[], Awaitable[None]], *, clock: Clock, sleep: Sleep
) -> AsyncIterator[Lease]:
    """A lease that is renewed while the block runs. Raises LeaseLost in the middle of the block where it is lost.

    A process that was stopped for longer than the lease learns of that when it goes on, before its next step.
    """
    lease = Lease(database, seconds, clock, sleep)
    try:
        async with asyncio.timeout(None) as block:
            at_once = partial(block.reschedule, 0.0)
            renewing = asyncio.create_task(lease.renewing(at_once, beat))
            try:
                yield lease
            finally:
                renewing.cancel()
                await asyncio.wait({renewing})
    except TimeoutError:
        if block.expired():
            raise LeaseLost("the worker was not heard of for too long") from None
        raise
    finally:
        await lease.give_back()
