"""The seam to where money is counted: budgets are reserved before a call and settled after it, over all levels at once.

A reservation holds the most that a call can cost, so what is spent and reserved together is never over a budget,
whoever else is calling. What a call did cost replaces it. A reservation whose process died is settled in full when
its lease ends: the provider may have billed all of it.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

SETTLED_LATE_S = 86_400.0
"""For how long after its lease a call may still be settled at what it did cost."""


class Purse(Struct, frozen=True, kw_only=True):
    """One budget in one period: the account's name, the period's name and the most that may go, in micro-dollars."""

    account: str
    period: str
    limit_microusd: int


class Reservation(Struct, frozen=True, kw_only=True):
    """Money set aside in every one of `purses`. `lease_until_s` is Unix time."""

    id: str
    purses: tuple[Purse, ...]
    microusd: int
    lease_until_s: float


class Balance(Struct, frozen=True, kw_only=True):
    """What one account did in one period, in micro-dollars."""

    account: str
    period: str
    spent_microusd: int
    reserved_microusd: int


class Ledger(Protocol):
    """Counts money. Safe to call concurrently, and from several processes where it is on a server."""

    async def reserve(self, reservation: Reservation, now_s: float) -> Purse | None:
        """Sets the amount aside in all purses or in none; the first purse that lacks it, None when all had it.

        Expired leases in these purses are settled in full before. Raises Unavailable.
        """
        ...

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """Replaces the reservation by what the call did cost, which counts also where it is more, or comes late.

        Once for each reservation: a second time does nothing. Raises Unavailable.
        """
        ...

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """What these accounts did, by account and period; all of them when none is named. Raises Unavailable."""
        ...
