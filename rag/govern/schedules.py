"""The seam to where the schedules of rates are kept: in the process, or on a server that several share."""

import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from rag.base.deadline import Clock
from rag.govern.gcra import Rate, Verdict, meter, returned


class Row(Struct, frozen=True):
    """One meter: its name and its rate."""

    name: str
    rate: Rate


class Schedules(Protocol):
    """Keeps the schedule of every meter. Safe to call concurrently."""

    async def take(self, rows: Sequence[Row], weight: int) -> Sequence[Verdict]:
        """Lets `weight` units pass on all meters, if every one of them admits them, or on none. Raises Unavailable.

        What each says by itself, in the order of `rows`. A weight of 0 only looks.
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

    async def take(self, rows: Sequence[Row], weight: int) -> Sequence[Verdict]:
        """See the port."""
        now_s = self._clock()
        verdicts = [meter(row.rate, self._tats_s.get(row.name, now_s), now_s, weight) for row in rows]
        if weight and all(verdict.is_admitted for verdict in verdicts):
            for row, verdict in zip(rows, verdicts, strict=True):
                self._tats_s[row.name] = verdict.tat_s
        return verdicts

    async def give_back(self, rows: Sequence[Row], weight: int) -> None:
        """See the port."""
        now_s = self._clock()
        for row in rows:
            self._tats_s[row.name] = returned(row.rate, self._tats_s.get(row.name, now_s), weight)
