"""Equal streams in flight run once: one task produces, every caller reads from its start."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from typing import Generic, TypeVar

Event = TypeVar("Event")
Produce = Callable[[], AsyncGenerator[Event, None]]


class _Flight(Generic[Event]):
    """The events so far, and who waits for more."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.ended = False
        self.n_readers = 0
        self.task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    def tell(self) -> None:
        """Wakes every reader; the next ones wait for the next event."""
        self._more.set()
        self._more = asyncio.Event()

    async def more(self) -> None:
        """Returns when there is something new."""
        await self._more.wait()


class Flights(Generic[Event]):
    """Joins callers with equal keys. The producer belongs to none of them: it is cancelled when the last one leaves.

    A producer that fails before its first event fails only the caller that started it: the others start again, one of
    them for all. After that, all that have read events of it see its error, as they cannot be told another story.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Event]] = {}

    async def join(self, key: Hashable, produce: Produce[Event]) -> AsyncGenerator[Event, None]:
        """The whole stream of the flight under `key`, begun with `produce` if there is none."""
        while True:
            flight = self._flights.get(key)
            started = flight is None
            if flight is None:
                flight = self._start(key, produce)
            n_read = 0
            flight.n_readers += 1
            try:
                while n_read < len(flight.events) or not flight.ended:
                    if n_read == len(flight.events):
                        await flight.more()
                        continue
                    n_read += 1
                    yield flight.events[n_read - 1]
            finally:
                self._leave(key, flight)
            if flight.error is None:
                return
            if started or n_read:
                raise flight.error

    def __len__(self) -> int:
        return len(self._flights)

    def _start(self, key: Hashable, produce: Produce[Event]) -> _Flight[Event]:
        flight: _Flight[Event] = _Flight()
        self._flights[key] = flight
        flight.task = asyncio.get_running_loop().create_task(self._run(key, flight, produce))
        return flight

    async def _run(self, key: Hashable, flight: _Flight[Event], produce: Produce[Event]) -> None:
        try:
            async with aclosing(produce()) as events:
                async for event in events:
                    flight.events.append(event)
                    flight.tell()
        except Exception as error:  # noqa: BLE001 - a seam: the error belongs to those who read this flight
            flight.error = error
        finally:
            flight.ended = True
            self._forget(key, flight)
            flight.tell()

    def _leave(self, key: Hashable, flight: _Flight[Event]) -> None:
        flight.n_readers -= 1
        if flight.n_readers == 0 and not flight.ended and flight.task:
            self._forget(key, flight)
            flight.task.cancel()

    def _forget(self, key: Hashable, flight: _Flight[Event]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
