"""How busy and how fast a target is: calls in flight, and moving averages that rise at once and fall slowly.

The average is Finagle's peak EWMA: a value above it replaces it, one below it draws it down with time constant `tau`,
and so does the time without values. A slow target is thus avoided after its first slow answer and tried again a little
later. Unlike there, what has been waiting longer than the average is taken for the average: a target that has just
become slow is avoided before its first answer.
"""

import math
from typing import Final

TAU_S: Final = 5.0


class PeakEwma:
    """One moving average of durations."""

    def __init__(self, tau_s: float = TAU_S) -> None:
        self._tau_s = tau_s
        self._value_s: float | None = None
        self._at_s = 0.0

    def observe(self, value_s: float, now_s: float) -> None:
        """Takes a measured duration in."""
        known_s = self._value_s
        if known_s is None or value_s >= known_s:
            self._value_s = value_s
        else:
            kept = math.exp(-max(0.0, now_s - self._at_s) / self._tau_s)
            self._value_s = known_s * kept + value_s * (1 - kept)
        self._at_s = now_s

    def read_s(self, now_s: float) -> float | None:
        """The average as it is by now; None before the first value."""
        if self._value_s is None:
            return None
        return self._value_s * math.exp(-max(0.0, now_s - self._at_s) / self._tau_s)


class Load:
    """The calls of one target."""

    def __init__(self) -> None:
        self.n_in_flight = 0
        self._waiting: dict[int, float] = {}  # in the order they began, so the first is the oldest
        self._n_begun = 0
        self._first_s = PeakEwma()
        self._token_s = PeakEwma()

    def began(self, now_s: float) -> int:
        """A call goes out; give the number back when it speaks and when it ends."""
        self._n_begun += 1
        self.n_in_flight += 1
        self._waiting[self._n_begun] = now_s
        return self._n_begun

    def spoke(self, call: int, now_s: float) -> None:
        """The call's first output is here."""
        self._first_s.observe(now_s - self._waiting.pop(call), now_s)

    def ended(self, call: int, *, n_tokens: int, wrote_s: float, now_s: float) -> None:
        """The call is over, after `n_tokens` in `wrote_s` since its first output; neither if it never spoke."""
        self.n_in_flight -= 1
        self._waiting.pop(call, None)
        if n_tokens > 1 and wrote_s > 0:
            self._token_s.observe(wrote_s / n_tokens, now_s)

    def penalise(self, seconds: float, now_s: float) -> None:
        """A call failed: it counts as an answer that took so long, or the fastest to fail would get all the calls."""
        self._first_s.observe(max(seconds, self._first_s.read_s(now_s) or 0.0), now_s)

    def forget(self) -> None:
        """The target has come back: what was measured before says nothing about it."""
        self._first_s, self._token_s = PeakEwma(), PeakEwma()

    def expected_s(self, n_tokens: int, now_s: float) -> float | None:
        """How long an answer of `n_tokens` may take; None when nothing is known."""
        first_s, token_s = self._first_s.read_s(now_s), self._token_s.read_s(now_s)
        oldest = next(iter(self._waiting.values()), None)
        if first_s is None and oldest is None:
            return None
        waited_s = 0.0 if oldest is None else now_s - oldest
        return max(first_s or 0.0, waited_s) + (token_s or 0.0) * n_tokens
