"""How often an answer would be wrong for another wording, learned from answers that were made anyway.

Whenever a kept answer was near and a fresh one was made all the same, the two are compared. A looser match is served
only at similarities above which so few of those comparisons went wrong that the true share is below the bound with 95 %
confidence. The idea of learning from verified hits is vCache's (arXiv 2502.03771); where it fits a curve for each
entry, this counts, which needs more observations and no assumption about their shape. An entry that was wrong once is
not served again at that similarity or below.
"""

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct

from rag.base.answers import Answer

Match = Literal["strict", "loose"]
CONFIDENCE: Final = 0.95
MAX_OBSERVATIONS: Final = 20_000
SAME_WORDS: Final = 0.8
"""The least F1 of two answers' words at which they count as the same, if they also rest on a common chunk."""
_WORD: Final = re.compile(r"\w+")


class Observation(Struct, frozen=True, array_like=True):
    """One comparison: how alike the questions were, by which match, and whether the kept answer was right."""

    similarity: float
    match: Match
    right: bool


class Estimate(Struct, frozen=True, kw_only=True):
    """A share of wrong hits with the upper end of its one-sided 95 % interval."""

    n: int
    n_wrong: int
    upper: float


class Ledger:
    """The last observations, and what follows from them. `tell` hears of each new one."""

    def __init__(
        self,
        max_false_hit_rate: float,
        observations: Iterable[Observation] = (),
        tell: Callable[[Observation], None] = lambda _: None,
    ) -> None:
        self._tell = tell
        self._bound = max_false_hit_rate
        self._observations: deque[Observation] = deque(observations, maxlen=MAX_OBSERVATIONS)
        self._floors: dict[bytes, float] = {}
        self._loose_floor: float | None = None

    def observe(self, entry: bytes, observation: Observation) -> None:
        """Takes in a comparison with the entry under that digest."""
        self._observations.append(observation)
        self._tell(observation)
        self._loose_floor = None
        if not observation.right:
            self._floors[entry] = max(observation.similarity, self._floors.get(entry, 0.0))

    def forget(self, entry: bytes) -> None:
        """The entry is gone, and with it what was learned of it alone."""
        self._floors.pop(entry, None)

    def admits(self, entry: bytes, similarity: float, match: Match) -> bool:
        """Whether a hit of that similarity may be served."""
        if similarity <= self._floors.get(entry, -1.0):
            return False
        return match == "strict" or similarity >= self.loose_floor()

    def loose_floor(self) -> float:
        """The lowest similarity from which on loose hits are safe enough; above 1 when none is."""
        if self._loose_floor is None:
            self._loose_floor = _safe_from([each for each in self._observations if each.match == "loose"], self._bound)
        return self._loose_floor

    def estimates(self) -> Mapping[Match, Estimate]:
        """The observed share of wrong answers by match."""
        n, wrong = (
            Counter(each.match for each in self._observations),
            Counter(each.match for each in self._observations if not each.right),
        )
        return {
            match: Estimate(n=n[match], n_wrong=wrong[match], upper=upper_bound(wrong[match], n[match]))
            for match in ("strict", "loose")
        }


def _safe_from(observations: list[Observation], bound: float) -> float:
    """Going down from the most alike, the last place where the bound held. Equal ones stand or fall together."""
    floor, n_wrong = math.inf, 0
    ordered = sorted(observations, key=lambda each: -each.similarity)
    for n, each in enumerate(ordered, start=1):
        n_wrong += not each.right
        ends_a_run = n == len(ordered) or ordered[n].similarity < each.similarity
        if ends_a_run and upper_bound(n_wrong, n) <= bound:
            floor = each.similarity
    return floor


def upper_bound(n_wrong: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The share of wrong ones that is exceeded with a chance of 1 - `confidence` only (Clopper and Pearson, 1934)."""
    if n_wrong >= n:
        return 1.0
    low, high = n_wrong / n, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if _at_most(n_wrong, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(n_wrong: int, n: int, share: float) -> float:
    """The chance of at most so many wrong ones of n, each wrong with that share."""
    log_yes, log_no = math.log(share), math.log1p(-share)
    terms = (
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_yes + (n - k) * log_no)
        for k in range(n_wrong + 1)
    )
    return min(1.0, sum(terms))


def agree(kept: Answer, fresh: Answer) -> bool:
    """Whether two answers say the same: the words nearly so, and from a chunk that both cite if both cite any."""
    if (kept.stop_reason == "stop") != (fresh.stop_reason == "stop"):
        return False
    ours, theirs = ({one.chunk_id for one in answer.citations} for answer in (kept, fresh))
    if ours and theirs and not ours & theirs:
        return False
    a, b = (Counter(_WORD.findall(answer.text.lower())) for answer in (kept, fresh))
    shared = (a & b).total()
    return 2 * shared >= SAME_WORDS * (a.total() + b.total())
