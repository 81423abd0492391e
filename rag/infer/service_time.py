"""How long batches take: learnt from those that ran, to tell how long a queue will."""

import math
from collections.abc import Iterable
from heapq import heapify, heapreplace
from typing import Final

_MEMORY: Final = 0.95
"""What an observation weighs after the next one: about the last twenty count."""

_FIRST_GUESS_S: Final = 1e-4
"""Per token, until something has run."""


class ServiceTime:
    """A fixed part per batch and a part per token: a line through recent batches by least squares, neither negative.

    Where all batches were of one size the two cannot be told apart, and the whole is taken as per token.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._tokens = 0.0
        self._seconds = 0.0
        self._spread = 0.0
        self._joint = 0.0

    def observe(self, n_tokens: int, seconds: float) -> None:
        """Learns from a batch that ran."""
        # Weighted means and sums of products about them, updated in place (West, CACM 22(9), 1979).
        self._weight = _MEMORY * self._weight + 1.0
        off_tokens, off_seconds = n_tokens - self._tokens, seconds - self._seconds
        self._tokens += off_tokens / self._weight
        self._seconds += off_seconds / self._weight
        self._spread = _MEMORY * self._spread + off_tokens * (n_tokens - self._tokens)
        self._joint = _MEMORY * self._joint + off_tokens * (seconds - self._seconds)

    def of(self, n_tokens: float) -> float:
        """The seconds that a batch of so many tokens will take."""
        if not self._weight:
            return _FIRST_GUESS_S * n_tokens
        proportional = self._seconds / max(self._tokens, 1.0)
        if self._spread <= 1e-6 * self._tokens**2 * self._weight:
            return proportional * n_tokens
        per_token = min(max(self._joint / self._spread, 0.0), proportional)
        fixed = self._seconds - per_token * self._tokens
        return fixed + per_token * n_tokens


class Load:
    """What waits in one lane."""

    __slots__ = ("n_items", "n_tokens")

    def __init__(self) -> None:
        self.n_items = 0
        self.n_tokens = 0

    def add(self, n_tokens: int) -> None:
        """Counts an item that joins the queue."""
        self.n_items += 1
        self.n_tokens += n_tokens

    def drop(self, n_tokens: int) -> None:
        """Counts an item no longer, which runs or has left."""
        self.n_items -= 1
        self.n_tokens -= n_tokens

    def batches(self, max_tokens: int, max_items: int) -> tuple[list[float], float]:
        """The tokens of each full batch that this will make, and of what is left over."""
        n_batches = max(self.n_tokens / max_tokens, self.n_items / max_items)
        of_each = self.n_tokens / max(n_batches, 1.0)
        n_full = math.floor(n_batches)
        return [of_each] * n_full, max(0.0, self.n_tokens - n_full * of_each)


def start_after(ends_s: Iterable[float], durations_s: Iterable[float]) -> float:
    """When work can start after other work has, one piece after another, on places that get free at those times."""
    free_s = list(ends_s)
    heapify(free_s)
    for duration_s in durations_s:
        heapreplace(free_s, free_s[0] + duration_s)
    return free_s[0]
