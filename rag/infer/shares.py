"""Who asks for how little: so that a tenant with a few questions is not kept waiting by one with very many. Pure."""

from collections import Counter
from typing import Final

PERIOD_S: Final = 2.0
"""What was asked for in this period and the one before it counts: some tens of questions of a tenant with few."""

LITTLE: Final = 0.25
"""Of an equal share. All tenants that ask for so little have at most a quarter of the backend between them."""


class Shares:
    """What each tenant has asked for lately, in tokens."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._total = 0
        self._total_before = 0
        self._since_s = float("-inf")

    def asks_for_little(self, tenant: str, n_tokens: int, now_s: float) -> bool:
        """Counts what the tenant asks for, and says whether that is much less than an equal share of all."""
        self._turn_page(now_s)
        self._now[tenant] += n_tokens
        self._total += n_tokens
        asked, total = self._now[tenant] + self._before[tenant], self._total + self._total_before
        n_tenants = max(len(self._now), len(self._before))
        return asked * n_tenants <= LITTLE * total

    def _turn_page(self, now_s: float) -> None:
        age_s = now_s - self._since_s
        if age_s < PERIOD_S:
            return
        self._before, self._total_before = (self._now, self._total) if age_s < 2 * PERIOD_S else (Counter(), 0)
        self._now, self._total, self._since_s = Counter(), 0, now_s
