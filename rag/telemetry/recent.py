"""The last traces, in memory: what happened here, without a collector."""

from collections import deque
from collections.abc import Callable

from rag.telemetry.finished import FinishedTrace

Visible = Callable[[FinishedTrace], bool]


class RecentTraces:
    """Keeps the last `size` traces."""

    def __init__(self, size: int) -> None:
        self._traces: deque[FinishedTrace] = deque(maxlen=size)

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
