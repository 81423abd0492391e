"""An end to waiting: cancels the task that waits when its time is up, and tells that from any other cancellation."""

import asyncio
from typing import Any, Final

LATE_S: Final = 0.005
"""How much too late it may ring, for the sake of not being set anew for every wait whose end is nearly the same."""


class Alarm:
    """What `asyncio.timeout` does, at a third of its cost, with one timer for many waits, one after the other.

    An answer is waited for hundreds of times, of which none takes too long: a timer for each was 11 % of a stream.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at_s = 0.0
        self._due_s = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._n_cancelled = 0
        self._has_rung = False

    def set(self, within_s: float) -> None:
        """The task that runs here is to wait for so long at most."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self._n_cancelled = self._task.cancelling() if self._task else 0
        self._has_rung = False
        self._due_s = loop.time() + within_s
        if self._timer is None or self._rings_at_s > self._due_s + LATE_S:
            self._arm(loop)

    def unset(self) -> None:
        """The wait is over. The timer stays: the next wait will have a use for it."""
        self._task = None

    def ring(self) -> None:
        """Cancels the wait now, if there is one."""
        if self._task is not None and not self._has_rung:
            self._has_rung = True
            self._task.cancel()

    def is_the_cause(self) -> bool:
        """Whether nothing else has cancelled the task; to be asked once, while it is being cancelled."""
        return self._has_rung and self._task is not None and self._task.uncancel() <= self._n_cancelled

    def close(self) -> None:
        """It will not ring any more."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at_s = self._due_s
        self._timer = loop.call_at(self._due_s, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._task is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due_s:  # it was moved meanwhile
            self._arm(loop)
        else:
            self.ring()
