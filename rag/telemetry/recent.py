"""The last traces, in memory: what happened here, without a collector."""

from collections import deque
from collections.abc import Callable
from typing import Final

from rag.telemetry.finished import FinishedTrace

Visible = Callable[[FinishedTrace], bool]

STAYS_NS: Final = 1_000_000_000
"""How long a trace stays at least. A busy server ends some thousand a second: nobody could look at them in time, and
putting each into words was a tenth of what a model call costs here (2026-11-23)."""


class RecentTraces:
    """Keeps the last `size` traces."""

    def __init__(self, size: int) -> None:
        self._traces: deque[FinishedTrace] = deque(maxlen=size)

    def has_room(self, now_ns: int) -> bool:
        """Whether one more would push out nobody, or one that has been here for long enough."""
        if len(self._traces) < (self._traces.maxlen or 0):
            return True
        return bool(self._traces) and now_ns - self._traces[0].ended_ns >= STAYS_NS

    def add(self, trace: FinishedTrace) -> None:
        """Keeps a trace in place of the oldest."""
        self._traces.append(trace)

    def latest(self, visible: Visible) -> list[FinishedTrace]:
        """Those that may be seen, newest first."""
        return [trace for trace in reversed(self._traces) if visible(trace)]

    def find(self, identifier: str, visible: Visible) -> FinishedTrace | None:
        """The newest with that id, or of a request with that id. Callers choose both, so several may have it."""
        return next(
            (trace for trace in self.latest(visible) if identifier in (trace.trace_id, trace.request_id)),
            None,
        )
