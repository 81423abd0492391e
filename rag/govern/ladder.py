"""How much effort a search is worth while others wait: better less for each than nothing for some.

Pure but for its clock. Up quickly, down slowly, and each relapse makes the next way down slower: where the load is
between what one rung and the next can bear, it would otherwise go up and down for ever.
"""

import time
from typing import Final, Literal

from rag.base.deadline import Clock

Effort = Literal["full", "fewer", "none"]
"""Reranking of all candidates, of the best few, of none."""

RUNGS: Final[tuple[Effort, ...]] = ("full", "fewer", "none")
CLIMB_S: Final = 0.5
"""Between two steps up: what the last one brings must show first."""
PATIENCE_S: Final = 2.0
"""How long all must be well before a step down."""
MAX_PATIENCE_S: Final = 64.0


class Ladder:
    """Rungs of less effort. For one event loop."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._rung = 0
        self._patience_s = PATIENCE_S
        self._stepped_s = float("-inf")
        self._stepped_down = False
        self._uneasy_s = float("-inf")

    def effort(self, pressure: float) -> Effort:
        """What to do now. `pressure` is 1 where it begins to hurt; the way down begins below a half."""
        now_s = self._clock()
        if pressure > 0.5:
            self._uneasy_s = now_s
        if pressure > 1 and self._rung < len(RUNGS) - 1 and now_s - self._stepped_s >= CLIMB_S:
            self._climb(now_s)
        elif self._rung and now_s - max(self._uneasy_s, self._stepped_s) >= self._patience_s:
            self._rung, self._stepped_s, self._stepped_down = self._rung - 1, now_s, True
        elif not self._rung and now_s - self._uneasy_s >= MAX_PATIENCE_S:
            self._patience_s, self._stepped_down = PATIENCE_S, False
        return RUNGS[self._rung]

    def _climb(self, now_s: float) -> None:
        if self._stepped_down:
            self._patience_s = min(2 * self._patience_s, MAX_PATIENCE_S)
        self._rung, self._stepped_s, self._stepped_down = self._rung + 1, now_s, False
