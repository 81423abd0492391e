"""Connections of clients: uvicorn's protocol over httptools, with bounds for those who begin much and end little."""

import asyncio
import logging
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, cast

import msgspec
from litestar.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from rag.base.errors import CallerError
from rag.base.ids import request_id
from rag.serve.problems import MEDIA_TYPE, describe

MAX_CONNECTIONS: Final = 8192
MAX_HEAD_BYTES: Final = 64 * 1024
REST_S: Final = 30.0
"""How long a client may take to end a head that it has begun."""
KEEP_ALIVE_S: Final = 75.0
"""How long a connection waits for its next request: longer than the balancers and clients that keep it."""
LAST_BODY_S: Final = 2.0
"""How long the rest of a body is thrown away that was answered before its end: without that some clients never read
the answer."""


LAST_BYTES_S: Final = 10.0
"""How often it is looked for clients that do not read the last that they were sent. The second time ends them."""

_UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class Connections:
    """Makes a connection of every client that is accepted, up to so many, and ends them all."""

    def __init__(self, app: ASGIApp, max_connections: int = MAX_CONNECTIONS) -> None:
        # Its logger tells of what is our own to tell: failures of requests, and what clients do wrong.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        self._config = Config(
            app,
            loop="none",
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=int(KEEP_ALIVE_S),
        )
        self._state = ServerState()
        self._max_connections = max_connections
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._closing: set[object] = set()
        self._are_over = asyncio.Event()
        self._is_closing = False

    def connect(self) -> "Connection":
        """One more, for a client that was just accepted; it is closed at once where there are too many."""
        if not self._timers:
            self._tell_the_time()
            self._end_the_deaf()
        has_room = len(self._state.connections) < self._max_connections
        return Connection(self._config, self._state, self._left, has_room=has_room)

    def close(self) -> None:
        """No more requests: connections without one are closed, the others after theirs."""
        self._is_closing = True
        for connection in list(self._state.connections):
            connection.shutdown()
        self._left()

    async def wait_closed(self) -> None:
        """Returns when the last one is closed after `close`."""
        await self._are_over.wait()
        for timer in self._timers.values():
            timer.cancel()

    def cancel(self) -> None:
        """Ends the requests in flight; their clients see a 500 or a stream cut off."""
        for task in list(self._state.tasks):
            task.cancel()

    def abort(self) -> None:
        """Closes them now, whatever they carry."""
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _left(self) -> None:
        if self._is_closing and not self._state.connections:
            self._are_over.set()

    def _tell_the_time(self) -> None:
        """For the `Date` of every response: once a second, as making it costs more than all other headers."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._again(self._tell_the_time, 1.0)

    def _end_the_deaf(self) -> None:
        """Those that were closed before they had read everything, and still have not."""
        closing = {one for one in self._state.connections if one.transport.is_closing()}
        for connection in closing & self._closing:
            connection.transport.abort()
        self._closing = set(closing)
        self._again(self._end_the_deaf, LAST_BYTES_S)

    def _again(self, work: Callable[[], None], in_s: float) -> None:
        self._timers[work] = asyncio.get_running_loop().call_later(in_s, work)


class Connection(HttpToolsProtocol):
    """One connection. `on_lost` is told when it is gone.

    Uvicorn's own trusts clients to send the heads that they begin, to keep them short, and to end their bodies.
    """

    def __init__(self, config: Config, state: ServerState, on_lost: Callable[[], None], *, has_room: bool) -> None:
        super().__init__(config, state, {})
        self._has_room = has_room
        self._on_lost = on_lost
        self._is_in_head = False
        self._is_in_body = False
        self._n_head_bytes = 0
        self._until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvloop's is none by its type
        if self._has_room:
            self._end_in(REST_S)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._may_stay()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data if self._is_in_body or b"pgrade:" not in data else _without_upgrade(data))
        if self._is_in_head:
            if self._until is None:
                self._end_in(REST_S)
            self._n_head_bytes += len(data)
            if self._n_head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"the head of the request is longer than {MAX_HEAD_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, in the words of all other refusals."""
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(describe(CallerError(msg), request_id()))
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_in_head, self._n_head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The end of a head."""
        self._is_in_head, self._is_in_body = False, True
        self._may_stay()
        super().on_headers_complete()
        self.cycle.transport = cast("asyncio.Transport", _HeadFirst(self.transport, self.loop))

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._is_in_body = False
        self._may_stay()
        super().on_message_complete()

    # What the response calls.

    def on_response_complete(self) -> None:
        """The end of a response, which may have come before the end of its request."""
        if self._is_in_body:
            self._end_in(LAST_BODY_S)
        super().on_response_complete()

    def _end_in(self, seconds: float) -> None:
        self._may_stay()
        self._until = self.loop.call_later(seconds, self.transport.close)

    def _may_stay(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None


class _HeadFirst:
    """What a response is written to. Its head waits for the first of its body: two writes cost twice what one does."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        """As a transport does; the first data soon, if nothing follows it at once."""
        if not self._has_begun:
            self._has_begun = True
            self._head = data
            self._loop.call_soon(self._send_head)
        elif self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """After what was written."""
        self._send_head()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._transport.is_closing()

    def _send_head(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


def _without_upgrade(data: bytes) -> bytes:
    """The head in `data` without the wish for another protocol, which a server may ignore (RFC 9110, 7.8).

    The parser would take the body for that protocol's. Java's own client has the wish in its first request.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest
