"""The seam to where the schedules of rates are kept: in the process, or on a server that several share."""

import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from rag.base.deadline import Clock
from rag.govern.gcra import Rate, meter, returned


class Row(Struct, frozen=True):
    """One meter: its name and its rate."""

    name: str
    rate: Rate


class Moment(Struct, frozen=True):
    """What a clock said, and each schedule as it was then, before anything moved it; both in seconds."""

    now_s: float
    tats_s: tuple[float, ...]


class Schedules(Protocol):
    """Keeps the schedule of every meter. Safe to call concurrently."""

    async def take(self, rows: Sequence[Row], weight: int) -> Moment:
        """Lets `weight` units pass on all meters, if every one of them admits them, or on none. Raises Unavailable.

        The moment tells which, by `rag.govern.gcra.meter`. A weight of 0 only looks.
        """
        ...

    async def give_back(self, rows: Sequence[Row], weight: int) -> None:
        """Moves the schedules back by `weight` units; on, where it is negative. Raises Unavailable."""
        ...


class LocalSchedules:
    """The schedules of one process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._tats_s: dict[str, float] = {}

    async def take(self, rows: Sequence[Row], weight: int) -> Moment:
        """See the port."""
        now_s = self._clock()
        before = tuple([self._tats_s.get(row.name, now_s) for row in rows])
        if weight:
            verdicts = [meter(row.rate, tat_s, now_s, weight) for row, tat_s in zip(rows, before, strict=True)]
            if all(verdict.is_admitted for verdict in verdicts):
                self._tats_s.update((row.name, verdict.tat_s) for row, verdict in zip(rows, verdicts, strict=True))
        return Moment(now_s, before)

    async def give_back(self, rows: Sequence[Row], weight: int) -> None:
        """See the port."""
        now_s = self._clock()
        for row in rows:
            self._tats_s[row.name] = returned(row.rate, self._tats_s.get(row.name, now_s), weight)
