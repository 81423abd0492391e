"""A client's side of HTTP/1.1, as little of it as a load generator needs: its own cost is not to be measured."""

import asyncio
from time import perf_counter
from typing import cast

from msgspec import Struct

_END = b"\r\n\r\n"


class Reply(Struct):
    """One response; `first_s` is when the first token was there, `stall_s` the longest silence after it."""

    status: int
    ended_s: float
    first_s: float | None
    stall_s: float
    is_whole: bool
    tells_wait: bool


class Broken(Exception):
    """The connection broke, or the time was up; the argument is the class of the error."""


class Connection(asyncio.Protocol):
    """One request at a time. `contains` and `first` are looked for in the bytes of the response, head excluded."""

    def __init__(self, contains: bytes = b"", first: bytes = b"") -> None:
        self.is_open = False
        self._contains = contains
        self._mark = first
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.is_open = False
        self._fail("closed")

    def close(self) -> None:
        """Ends the connection."""
        self._transport.abort()

    async def ask(self, request: bytes, timeout_s: float) -> Reply:
        """The reply. Raises Broken, after which the connection is closed."""
        self._received = bytearray()
        self._head_ends = 0
        self._length: int | None = None
        self._next_chunk = 0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._stall_s = 0.0
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        self._timer = self._loop.call_later(timeout_s, self._late)
        self._transport.write(request)
        try:
            return await waiter
        finally:
            self._timer.cancel()
            if waiter.cancelled():
                self.close()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        now_s = perf_counter()  # the loop's own clock may tell milliseconds and no less
        searched = len(self._received)
        self._received += data
        if not self._head_ends and not self._read_head():
            return
        self._time(now_s, max(self._head_ends, searched - len(self._mark)))
        if self._is_complete():
            self._finish(now_s)

    def _read_head(self) -> bool:
        stop = self._received.find(_END)
        if stop < 0:
            return False
        self._head_ends = self._next_chunk = stop + len(_END)
        head = bytes(self._received[:stop]).lower()
        self._status = int(head[9:12])
        self._tells_wait = b"\r\nretry-after:" in head
        self._closes = b"\r\nconnection: close" in head
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            self._length = int(head[at + 17 : (head + b"\r\n").find(b"\r\n", at + 17)])
        return True

    def _time(self, now_s: float, since: int) -> None:
        """Takes the time of the first token, or of the silence before these bytes."""
        if self._first_s is not None:
            self._stall_s = max(self._stall_s, now_s - self._last_s)
        elif self._mark in self._received[since:] and len(self._received) > self._head_ends:
            self._first_s = now_s
        self._last_s = now_s

    def _is_complete(self) -> bool:
        received = self._received
        if self._length is not None:
            return len(received) >= self._head_ends + self._length
        while (stop := received.find(b"\r\n", self._next_chunk)) >= 0:
            size = int(received[self._next_chunk : stop].partition(b";")[0], 16)
            if len(received) < stop + 4 + size:
                return False
            if size == 0:
                return True
            self._next_chunk = stop + 4 + size
        return False

    def _finish(self, now_s: float) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            is_whole = self._contains in self._received[self._head_ends :]
            waiter.set_result(Reply(self._status, now_s, self._first_s, self._stall_s, is_whole, self._tells_wait))
        if self._closes:
            self.close()

    def _late(self) -> None:
        self._fail("timeout")
        self.close()

    def _fail(self, kind: str) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_exception(Broken(kind))
