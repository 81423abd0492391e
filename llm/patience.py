"""How long one model call may take: three timers and the request's own deadline, the earliest wins."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from llm.config import RemoteConfig
from rag.base.alarm import Alarm
from rag.base.deadline import Clock, Deadline
from rag.base.errors import DeadlineExceeded

T = TypeVar("T")

USAGE_GRACE_S = 2.0  # how long a finished answer waits for its usage; some servers neither send it nor close


class Patience:
    """The timers of one call: first token, idle, total. Only output counts as progress, so comments cannot feign it.

    Only time spent waiting for the server wears the first two, so a slow reader of the answer does not end it. The
    connect timer is the transport's, which alone knows when it connects. Close it with the call.
    """

    def __init__(self, config: RemoteConfig, deadline: Deadline, target: str, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._alarm = Alarm()
        self._target = target
        self._idle_timeout_s = config.idle_timeout_s
        self._left_s = config.first_token_timeout_s
        self._complaint = f"gave no first token within {config.first_token_timeout_s:g} s"
        self._stop_s, self._stop_complaint = clock() + config.total_timeout_s, "was not done within its total timeout"
        if deadline.at_s < self._stop_s:
            self._stop_s, self._stop_complaint = deadline.at_s, "was not done by the deadline of the request"

    def progressed(self) -> None:
        """Output came: the idle timer starts anew."""
        self._left_s = self._idle_timeout_s
        self._complaint = f"fell silent for {self._idle_timeout_s:g} s"

    def finished(self) -> None:
        """The answer is complete: only its usage is still awaited."""
        self._left_s = min(self._idle_timeout_s, USAGE_GRACE_S)

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is cancelled when a timer runs out. Raises DeadlineExceeded then."""
        started_s = self._clock()
        until_stop_s = max(0.0, self._stop_s - started_s)
        self._alarm.set(min(self._left_s, until_stop_s))
        try:
            return await work
        except asyncio.CancelledError as error:
            if not self._alarm.is_the_cause():
                raise
            complaint = self._complaint if self._left_s < until_stop_s else self._stop_complaint
            raise DeadlineExceeded(f"{self._target} {complaint}") from error
        finally:
            self._alarm.unset()
            self._left_s = max(0.0, self._left_s - (self._clock() - started_s))

    def close(self) -> None:
        """Nothing more is waited for."""
        self._alarm.close()
