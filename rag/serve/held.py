"""How many bytes of request bodies are held at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from rag.base.errors import Overloaded

MAX_WAITING: Final = 1_000
"""Bodies that wait outside, in their clients and in socket buffers; each costs a connection and a task here."""


class HeldBytes:
    """A budget of bytes, first come, first served. One who asks for more than there is at all gets all of it."""

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._free = n_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def n_free(self) -> int:
        """Bytes that nobody holds."""
        return self._free

    @asynccontextmanager
    async def hold(self, n_bytes: int, within_s: float) -> AsyncIterator[None]:
        """Inside, so many bytes are held. Raises Overloaded when it takes too long, or too many wait already."""
        wanted = min(n_bytes, self._n_bytes)
        await self._take(wanted, within_s)
        try:
            yield
        finally:
            self._free += wanted
            self._admit()

    async def _take(self, wanted: int, within_s: float) -> None:
        if not self._waiting and wanted <= self._free:
            self._free -= wanted
            return
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} large bodies wait already", retry_after_s=within_s)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # its turn came as it left
                self._free += wanted
            self._admit()
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    f"{self._n_bytes} bytes of bodies are held, as many as fit, for {within_s:g} s",
                    retry_after_s=within_s,
                ) from error
            raise

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= wanted
                turn.set_result(None)
