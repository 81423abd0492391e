"""A rate as a schedule: the generic cell rate algorithm (GCRA, ITU-T I.371), one number for each meter.

The number is the theoretical arrival time (TAT): when a caller that keeps to the rate would be served next. A request
of weight w moves it w steps of 1 / rate on; it is admitted while that leaves it at most one burst ahead of the clock.
No windows, so no double allowance at their edges, and giving back what was not used is a step backwards.
"""

from typing import Annotated

from msgspec import Meta, Struct

MINUTE_S = 60.0


class Rate(Struct, frozen=True, kw_only=True):
    """So many units a minute, of which `burst` may come at once (by default a whole minute's)."""

    per_minute: Annotated[int, Meta(ge=1)]
    burst: Annotated[int, Meta(ge=1)] | None = None

    @property
    def step_s(self) -> float:
        """The time in which one unit becomes free, in seconds."""
        return MINUTE_S / self.per_minute

    @property
    def tolerance_s(self) -> float:
        """How far ahead of the clock the schedule may run, in seconds."""
        return self.step_s * (self.burst or self.per_minute)


class Verdict(Struct, frozen=True, kw_only=True):
    """What a meter says to one request. `tat_s` is its schedule afterwards; refused, it is what it was."""

    is_admitted: bool
    tat_s: float
    n_remaining: int
    """Units that could still come at once."""
    retry_after_s: float
    """When the same request would be admitted; 0 if it was. Infinite for one that is over the burst: never."""
    reset_s: float
    """When the meter would be as if never used."""


def meter(rate: Rate, tat_s: float, now_s: float, weight: int = 1) -> Verdict:
    """Whether `weight` units may pass now, and the schedule afterwards. Both times are on one clock, in seconds."""
    step_s = MINUTE_S / rate.per_minute  # a step and a tolerance, which asked for by name cost as much as all the rest
    tolerance_s = step_s * (rate.burst or rate.per_minute)
    ahead = max(tat_s, now_s)
    then = ahead + weight * step_s
    wait_s = then - tolerance_s - now_s
    is_admitted = wait_s <= _ROUNDING_S
    kept = then if is_admitted else ahead
    return Verdict(
        is_admitted=is_admitted,
        tat_s=then if is_admitted else tat_s,
        n_remaining=max(0, int((now_s + tolerance_s - kept) / step_s + _ROUNDING_S)),
        retry_after_s=0.0 if is_admitted else wait_s if weight * step_s <= tolerance_s else float("inf"),
        reset_s=max(0.0, kept - now_s),
    )


def returned(rate: Rate, tat_s: float, weight: int) -> float:
    """The schedule after `weight` units were given back; a negative weight takes more, however little is left."""
    return tat_s - weight * rate.step_s


_ROUNDING_S = 1e-6  # of sums of steps: a microsecond early is no fault, a unit refused for it would be one
