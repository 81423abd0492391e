"""A point in time until which work is worth doing."""

import time
from collections.abc import Callable
from typing import Self

from msgspec import Struct

Clock = Callable[[], float]
"""Seconds on a clock that never goes back, such as `time.monotonic`."""


class Deadline(Struct, frozen=True):
    """An instant on the monotonic clock. Passed down, never extended."""

    at_s: float

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Self:
        """The deadline that many seconds from now."""
        return cls(clock() + seconds)

    def remaining_s(self, clock: Clock = time.monotonic) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - clock())

    def expired(self, clock: Clock = time.monotonic) -> bool:
        """Whether the work is no longer worth doing."""
        return clock() >= self.at_s

    def share(self, fraction: float, clock: Clock = time.monotonic) -> "Deadline":
        """An earlier deadline that leaves the rest of the time to what comes after; `fraction` in 0..1."""
        return Deadline(clock() + self.remaining_s(clock) * fraction)
