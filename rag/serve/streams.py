"""Server-sent events, and work that ends when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, cast

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from rag.base.errors import DeadlineExceeded
from rag.serve.bodies import ClientLeft

T = TypeVar("T")

HEARTBEAT = b": still here\n\n"
Queued = asyncio.Queue[bytes | Exception | None]
"""Encoded events, then at most one failure, then None."""

GRACE_S = 5.0
"""What a request may take beyond its deadline before the door gives it up; the recipe keeps the deadline itself."""
_QUEUED_EVENTS = 64
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def event(name: str, body: object) -> bytes:
    """One server-sent event. JSON has no line breaks outside of strings, so one data line is enough."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(body))


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T], *, within_s: float) -> T:
    """The result of `work`, which is cancelled when the client leaves or the time is up before.

    The request body must have been read. Raises ClientLeft, DeadlineExceeded, and what `work` raises.
    """
    # In the request's own task: another one for the work, and a wait for both, would cost every request 50 µs.
    limit = asyncio.timeout(within_s)
    leaving = asyncio.create_task(_departure(receive, limit))
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        if leaving.done():
            raise ClientLeft from error
        raise DeadlineExceeded(f"this took longer than the {within_s:g} s that a request may take here") from error
    finally:
        leaving.cancel()


class EventStream(Response[Any]):
    """A response that sends encoded events as they come.

    A failure before the first event is raised, so that it becomes a problem response with its own status; a later one
    is sent as the event that `failure` makes of it. When the client leaves, `events` is closed in the task it ran in.
    A slow reader holds `events` back once a bounded queue is full, and is cut off after `within_s`. A comment is sent
    whenever nothing else was for `heartbeat_s`.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        failure: Callable[[Exception], bytes],
        *,
        heartbeat_s: float,
        within_s: float,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(content=None)
        self._events = events
        self._failure = failure
        self._heartbeat_s = heartbeat_s
        self._further = headers
        self._within_s = within_s
        self._has_started = False

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Itself: all that Litestar asks of an ASGI response is to be called."""
        return cast("ASGIResponse", self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends everything, or raises before the first byte."""
        try:
            await while_connected(receive, self._send_all(send), within_s=self._within_s)
        except ClientLeft:
            return
        except DeadlineExceeded:
            if not self._has_started:
                raise

    async def _send_all(self, send: Send) -> None:
        queue = Queued(_QUEUED_EVENTS)
        producer = asyncio.create_task(self._produce(queue))
        try:
            first = await queue.get()
            if isinstance(first, Exception):
                raise first
            self._has_started = True
            further = [(name.encode(), value.encode()) for name, value in self._further().items()]
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *further]})
            data, is_last = self._gathered(first, queue)
            while not is_last:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                data, is_last = self._gathered(await self._next(queue), queue)
            await send({"type": "http.response.body", "body": data, "more_body": False})
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)

    def _gathered(self, item: bytes | Exception | None, queue: Queued) -> tuple[bytes, bool]:
        """The item with all that waits behind it, as a send costs more than an event; and whether it is the end."""
        parts: list[bytes] = []
        while item is not None:
            parts.append(self._failure(item) if isinstance(item, Exception) else item)
            if queue.empty():
                return b"".join(parts), False
            item = queue.get_nowait()
        return b"".join(parts), True

    async def _produce(self, queue: Queued) -> None:
        try:
            async with aclosing(self._events) as events:
                async for data in events:
                    await queue.put(data)
        except Exception as error:  # noqa: BLE001 - the seam: whatever failed is told to the client
            await queue.put(error)
        await queue.put(None)

    async def _next(self, queue: Queued) -> bytes | Exception | None:
        try:
            async with asyncio.timeout(self._heartbeat_s):
                return await queue.get()
        except TimeoutError:
            return HEARTBEAT


async def _departure(receive: Receive, limit: asyncio.Timeout) -> None:
    """Brings the limit forward to the moment at which the client leaves."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except asyncio.CancelledError:
        # Granian may end the wait in this way when the client leaves, though nobody cancelled us.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
    if not limit.expired():
        limit.reschedule(0.0)
