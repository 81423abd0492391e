"""Server-sent events, and work that ends when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, cast

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from rag.base.alarm import Alarm
from rag.base.errors import DeadlineExceeded
from rag.serve.bodies import ClientLeft

T = TypeVar("T")

HEARTBEAT = b": still here\n\n"

GRACE_S = 5.0
"""What a request may take beyond its deadline before the door gives it up; the recipe keeps the deadline itself."""
LISTEN_AFTER_S = 0.02
"""How long a client that has left may stay unnoticed."""
_WAITING_EVENTS = 64
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
    alarm = Alarm()
    client = _Client(receive, alarm)
    alarm.set(within_s)
    try:
        return await work
    except asyncio.CancelledError as error:
        if not alarm.is_the_cause():
            raise
        if client.has_left:
            raise ClientLeft from error
        raise DeadlineExceeded(f"this took longer than the {within_s:g} s that a request may take here") from error
    finally:
        client.forget()
        alarm.close()


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
        outbox = _Outbox()
        producer = asyncio.create_task(self._produce(outbox))
        try:
            data = await outbox.take()
            if outbox.failure is not None and not data:
                raise outbox.failure
            self._has_started = True
            further = [(name.encode(), value.encode()) for name, value in self._further().items()]
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *further]})
            outbox.fill_silence(HEARTBEAT, self._heartbeat_s)
            while not outbox.is_over:
                if data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                data = await outbox.take()
            if outbox.failure is not None:
                data += self._failure(outbox.failure)
            await send({"type": "http.response.body", "body": data, "more_body": False})
        finally:
            outbox.close()
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)

    async def _produce(self, outbox: "_Outbox") -> None:
        try:
            async with aclosing(self._events) as events:
                async for data in events:
                    await outbox.put(data)
        except Exception as error:  # noqa: BLE001 - the seam: whatever failed is told to the client
            outbox.end(error)
        else:
            outbox.end()


class _Outbox:
    """Encoded events that wait to be sent, from one task to another."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_over = False
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._awaited: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._filled_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def put(self, data: bytes) -> None:
        """Takes an event, and waits while there are too many."""
        self._add(data)
        while len(self._waiting) >= _WAITING_EVENTS:
            self._room = self._loop.create_future()
            await self._room

    def end(self, failure: Exception | None = None) -> None:
        """That was all, or `failure` stands in the place of the rest."""
        self.failure = failure
        self.is_over = True
        _wake(self._awaited)

    async def take(self) -> bytes:
        """All that waits, as a send costs more than an event: at least one, unless it is over."""
        if not self._waiting and not self.is_over:
            self._awaited = self._loop.create_future()
            await self._awaited
        waiting, self._waiting = self._waiting, []
        _wake(self._room)
        return waiting[0] if len(waiting) == 1 else b"".join(waiting)

    def fill_silence(self, data: bytes, after_s: float) -> None:
        """From now on, adds `data` whenever nothing was added for `after_s`."""
        silent_s = self._loop.time() - self._filled_at_s
        if silent_s >= after_s:
            self._add(data)
            silent_s = 0.0
        self._timer = self._loop.call_later(after_s - silent_s, self.fill_silence, data, after_s)

    def close(self) -> None:
        """Nobody takes any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._filled_at_s = self._loop.time()
        _wake(self._awaited)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class _Client:
    """Rings the alarm when the client leaves. Listens only to work that takes a while: most is over before."""

    def __init__(self, receive: Receive, alarm: Alarm) -> None:
        self.has_left = False
        self._receive = receive
        self._alarm = alarm
        self._next: asyncio.Future[Any] | None = None
        self._timer = asyncio.get_running_loop().call_later(LISTEN_AFTER_S, self._listen)

    def forget(self) -> None:
        """It may leave now."""
        self._timer.cancel()
        if self._next is not None:
            self._next.remove_done_callback(self._heard)
            self._next.cancel()

    def _listen(self) -> None:
        self._next = asyncio.ensure_future(self._receive())
        self._next.add_done_callback(self._heard)

    def _heard(self, message: asyncio.Future[Any]) -> None:
        if not message.cancelled() and not message.exception() and message.result()["type"] != "http.disconnect":
            self._listen()
        else:
            self.has_left = True
            self._alarm.ring()
