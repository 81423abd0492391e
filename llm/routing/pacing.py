"""How often and how soon to try again: pauses that only grow by chance, and a purse of retries for all requests."""

from random import Random
from typing import Final

BASE_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 10.0
JITTER: Final = 0.5


def pause_s(n_failed: int, hint_s: float | None, rng: Random) -> float:
    """How long to wait before asking a target again that has failed `n_failed` times for this request.

    Doubles from `BASE_PAUSE_S`; never shorter than the provider's hint, and up to half as long again by chance, so that
    those who failed together do not come back together.
    """
    wait_s = min(BASE_PAUSE_S * 2.0 ** max(0, n_failed - 1), MAX_PAUSE_S)
    return max(wait_s, hint_s or 0.0) * (1.0 + JITTER * rng.random())


class RetryPurse:
    """The retries of all requests together: each request puts a part of a token in, each further attempt takes one out.

    After Finagle's retry budget: in good times a burst of failures is retried in full, while in an outage of everything
    the load on it grows by `ratio` and not by the number of attempts.
    """

    def __init__(self, capacity: float, ratio: float) -> None:
        self._capacity = capacity
        self._ratio = ratio
        self._tokens = capacity

    def requested(self) -> None:
        """A request begins."""
        self._tokens = min(self._capacity, self._tokens + self._ratio)

    def take(self) -> bool:
        """Whether one more attempt may be made; takes its token if so."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
