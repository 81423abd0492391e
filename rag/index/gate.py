"""Many readers or one writer, in the order in which they came."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """A lock for one event loop. A reader that comes after a waiting writer waits behind it: neither side starves."""

    def __init__(self) -> None:
        self._n_readers = 0
        self._writing = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Inside, nobody is in `exclusive`."""
        await self._enter(exclusive=False)
        try:
            yield
        finally:
            self._leave(exclusive=False)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Inside, nobody else is in."""
        await self._enter(exclusive=True)
        try:
            yield
        finally:
            self._leave(exclusive=True)

    async def _enter(self, *, exclusive: bool) -> None:
        if not self._waiting and self._admits(exclusive=exclusive):
            self._take(exclusive=exclusive)
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (exclusive, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # admitted and cancelled in the same turn of the loop
                self._leave(exclusive=exclusive)
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._admit()
            raise

    # Leaving never waits: a wait could be cancelled, and the gate would stay shut.
    def _leave(self, *, exclusive: bool) -> None:
        if exclusive:
            self._writing = False
        else:
            self._n_readers -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._admits(exclusive=self._waiting[0][0]):
            exclusive, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._take(exclusive=exclusive)
                turn.set_result(None)

    def _admits(self, *, exclusive: bool) -> bool:
        return not self._writing and not (exclusive and self._n_readers)

    def _take(self, *, exclusive: bool) -> None:
        if exclusive:
            self._writing = True
        else:
            self._n_readers += 1
