"""Rates: requests and tokens for each account, taken from all levels at once or from none."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from rag.base.errors import QuotaExceeded
from rag.govern.allowance import Accounts
from rag.govern.gcra import Rate, Verdict
from rag.govern.schedules import Row, Schedules

Unit = Literal["requests", "tokens"]


class Standing(Struct, frozen=True, kw_only=True):
    """Where a caller stands with the tightest of its rates of one unit."""

    unit: Unit
    limit_per_minute: int
    n_remaining: int
    reset_s: float


class Meters:
    """What lets requests and tokens pass, at the rates of those who ask."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def take(self, accounts: Accounts, unit: Unit, weight: int = 1) -> Standing | None:
        """Lets `weight` units pass on every level, and gives the standing after it, as `standing` does.

        Raises Unavailable, and QuotaExceeded when no level counted them.
        """
        rows = _rows(accounts, unit)
        if not rows:
            return None
        verdicts = await self._schedules.take(rows, weight)
        for row, verdict in zip(rows, verdicts, strict=True):
            if not verdict.is_admitted:
                account = row.name.removesuffix(f" {unit}")
                raise QuotaExceeded(
                    f"the account '{account}' may use {row.rate.per_minute} {unit} a minute, and {weight} more are too "
                    "many now; slow down, or have the limit raised",
                    retry_after_s=verdict.retry_after_s,
                )
        return _tightest(unit, rows, verdicts)

    async def give_back(self, accounts: Accounts, unit: Unit, weight: int) -> None:
        """Returns what was taken and not used; a negative weight takes what was used beyond. Raises Unavailable."""
        rows = _rows(accounts, unit)
        if rows and weight:
            await self._schedules.give_back(rows, weight)

    async def standing(self, accounts: Accounts, unit: Unit) -> Standing | None:
        """The rate that will refuse first, as it is now; None without one. Raises Unavailable."""
        rows = _rows(accounts, unit)
        if not rows:
            return None
        return _tightest(unit, rows, await self._schedules.take(rows, 0))


def _tightest(unit: Unit, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> Standing:
    row, verdict = min(zip(rows, verdicts, strict=True), key=lambda one: one[1].n_remaining)
    return Standing(
        unit=unit,
        limit_per_minute=row.rate.per_minute,
        n_remaining=verdict.n_remaining,
        reset_s=verdict.reset_s,
    )


@lru_cache(maxsize=4096)
def _rows(accounts: Accounts, unit: Unit) -> tuple[Row, ...]:
    """Every request asks for them several times, and accounts hardly change."""
    limits = [
        (one.name, one.allowance.requests_per_minute if unit == "requests" else one.allowance.tokens_per_minute)
        for one in accounts
    ]
    return tuple(
        Row(f"{name} {unit}", Rate(per_minute=per_minute)) for name, per_minute in limits if per_minute is not None
    )
