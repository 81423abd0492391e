"""The rates of one process: requests and tokens for each account, taken from all levels at once or from none."""

import time
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from rag.base.deadline import Clock
from rag.base.errors import QuotaExceeded
from rag.govern.allowance import Accounts
from rag.govern.gcra import Rate, Verdict, meter, returned

Unit = Literal["requests", "tokens"]


class Standing(Struct, frozen=True, kw_only=True):
    """Where a caller stands with the tightest of its rates of one unit."""

    unit: Unit
    limit_per_minute: int
    n_remaining: int
    reset_s: float


class Meters:
    """The schedules of the meters in use: at most two for each account."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._tat_s: dict[tuple[str, Unit], float] = {}

    def take(self, accounts: Accounts, unit: Unit, weight: int = 1) -> None:
        """Lets `weight` units pass on every level. Raises QuotaExceeded, and then no level has counted them."""
        verdicts = {}
        for name, rate in _rates(accounts, unit):
            verdict = self._ask(name, unit, rate, weight)
            if not verdict.is_admitted:
                raise QuotaExceeded(
                    f"the account '{name}' may use {rate.per_minute} {unit} a minute, and {weight} more are too many "
                    "now; slow down, or have the limit raised",
                    retry_after_s=verdict.retry_after_s,
                )
            verdicts[name, unit] = verdict.tat_s
        self._tat_s.update(verdicts)

    def give_back(self, accounts: Accounts, unit: Unit, weight: int) -> None:
        """Returns what was taken and not used; a negative weight takes what was used beyond."""
        for name, rate in _rates(accounts, unit):
            tat_s = self._tat_s.get((name, unit), self._clock())
            self._tat_s[name, unit] = returned(rate, tat_s, weight)

    def standing(self, accounts: Accounts, unit: Unit) -> Standing | None:
        """The rate that will refuse first, as it is now; None without one."""
        asked = [(rate, self._ask(name, unit, rate, 0)) for name, rate in _rates(accounts, unit)]
        if not asked:
            return None
        rate, verdict = min(asked, key=lambda one: one[1].n_remaining)
        return Standing(
            unit=unit, limit_per_minute=rate.per_minute, n_remaining=verdict.n_remaining, reset_s=verdict.reset_s
        )

    def _ask(self, name: str, unit: Unit, rate: Rate, weight: int) -> Verdict:
        now_s = self._clock()
        return meter(rate, self._tat_s.get((name, unit), now_s), now_s, weight)


def _rates(accounts: Accounts, unit: Unit) -> Iterable[tuple[str, Rate]]:
    for account in accounts:
        rate = account.allowance.requests if unit == "requests" else account.allowance.tokens
        if rate is not None:
            yield account.name, rate
