"""Equal work in flight is done once, and everyone who asked for it gets the result."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from contextlib import nullcontext
from typing import Any, Generic, TypeVar

from rag.base.deadline import Clock, Deadline
from rag.base.errors import DeadlineExceeded

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class _Flight(Generic[Result]):
    """Work under way, and those who wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[Result]
        self.waiting: list[asyncio.Future[None]] = []  # in the order in which they came


class SingleFlight(Generic[Key, Result]):
    """Shares work between those who ask for the same at the same time; remembers nothing once it is done.

    The first to ask leads, the others follow. The work belongs to nobody: it goes on when the leader leaves and is
    cancelled when the last one has left. If it fails, the leader gets the error and each follower does the work
    itself, as if alone: the leader's deadline, tenant or bad luck is not theirs.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[Key, _Flight[Result]] = {}

    async def run(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]], deadline: Deadline) -> Result:
        """What `work` gives, from whoever's; equal keys say equal work. Raises DeadlineExceeded, or what it raises.

        The result is shared: do not change it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._take_off(key, work)
            await self._wait(key, flight, None)
            return flight.task.result()
        await self._wait(key, flight, deadline.remaining_s(self._clock))
        if not flight.task.done():
            raise DeadlineExceeded("waited for equal work in flight until the request's deadline")
        if flight.task.cancelled() or flight.task.exception():
            return await work()
        return flight.task.result()

    def _take_off(self, key: Key, work: Callable[[], Coroutine[Any, Any, Result]]) -> _Flight[Result]:
        flight = self._flights[key] = _Flight[Result]()
        flight.task = asyncio.get_running_loop().create_task(self._fly(key, flight, work), name="flight")
        flight.task.add_done_callback(_look_at)
        return flight

    async def _fly(self, key: Key, flight: _Flight[Result], work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        try:
            return await work()
        finally:
            self._land(key, flight)  # not in a callback of the task, which is called a turn of the loop later

    async def _wait(self, key: Key, flight: _Flight[Result], timeout_s: float | None) -> None:
        """Returns when the work is done or the time is up. `asyncio.wait` would do it at five times the cost."""
        landed = asyncio.get_running_loop().create_future()
        flight.waiting.append(landed)
        try:
            async with nullcontext() if timeout_s is None else asyncio.timeout(timeout_s):
                await landed
        except TimeoutError:
            pass
        finally:
            flight.waiting.remove(landed)
            if not flight.waiting and not flight.task.done():
                self._land(key, flight)  # at once, so that nobody boards what is being cancelled
                flight.task.cancel()

    def _land(self, key: Key, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        for landed in flight.waiting:
            if not landed.done():
                landed.set_result(None)


def _look_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # for the case that everyone is gone
