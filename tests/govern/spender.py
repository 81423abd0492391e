"""A process that spends from a shared budget: `python -m tests.govern.spender URL ACCOUNT LIMIT N_CALLS`."""

import asyncio
import random
import sys
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

from rag.base.errors import Unavailable
from rag.govern.ledger import Ledger, Purse, Reservation
from rag.govern.ledgers.postgres import open_postgres_ledger
from rag.govern.ledgers.redis import open_redis_ledger

MOST = 40
LEASE_S = 4_000_000_000.0


def opened(url: str) -> AbstractAsyncContextManager[Ledger]:
    return open_redis_ledger(url) if url.startswith("redis") else open_postgres_ledger(url)


async def spend(url: str, account: str, limit: int, n_calls: int) -> int:
    """What `n_calls` calls at once did cost together, of those that were granted."""
    async with opened(url) as ledger:

        async def call() -> int:
            purses = tuple(
                Purse(account=name, period="2026-11", limit_microusd=limit) for name in (account, f"{account}/team")
            )
            one = Reservation(id=uuid4().hex, purses=purses, microusd=MOST, lease_until_s=LEASE_S)
            try:
                if await ledger.reserve(one, 1_700_000_000.0) is not None:
                    return 0
            except Unavailable:  # a crowded server on a crowded machine: refused, as a caller would be
                return 0
            await asyncio.sleep(random.random() / 50)
            cost = random.randint(1, MOST)
            while not await settled(ledger, one, cost):
                pass
            return cost

        return sum(await asyncio.gather(*(call() for _ in range(n_calls))))


async def settled(ledger: Ledger, one: Reservation, cost: int) -> bool:
    try:
        await ledger.settle(one, cost)
    except Unavailable:
        return False
    return True


if __name__ == "__main__":
    spent = asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    sys.stdout.write(str(spent))
