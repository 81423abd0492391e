"""A connection in HTTP/1.1 that carries one exchange after the other; the parser is httptools'."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rag.infer.exchange import Request

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_WAITING_BYTES: Final = 256 * 1024
"""Of a body that nobody reads: then the server has to wait."""

_FIRST_FINAL: Final = 200


class Incoming:
    """A `Reply` on a connection."""

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = False
        self.is_whole = False
        self.fault: OSError | None = None
        self.pieces: list[bytes] = []
        self.n_bytes = 0
        self._connection = connection
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> bytes | None:
        """See `Reply`."""
        while True:
            if self.pieces:
                return self._taken()
            if self.fault is not None:
                raise self.fault
            if self.is_whole:
                return None
            await self.wait()

    async def aclose(self) -> None:
        """See `Reply`."""
        if not self.is_whole:
            self._connection.abort()

    async def wait(self) -> None:
        """Until something has happened to it."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Something has happened to it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def begin(self, status: int) -> None:
        """The head is complete."""
        if self.headers.get("content-encoding", "identity") != "identity":
            raise ConnectionError("the server packed its answer, which it was asked not to")
        self.status = status
        self.has_head = True

    def _taken(self) -> bytes:
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces.clear()
        if self.n_bytes > MAX_WAITING_BYTES:
            self._connection.resume()
        self.n_bytes = 0
        return data


class Connection(asyncio.Protocol):
    """`on_free` is told when an exchange is over, however it ended; `is_open` says whether there can be another."""

    def __init__(self, on_free: Callable[["Connection"], None]) -> None:
        self.is_open = False
        self.free_since_s = 0.0
        self._on_free = on_free
        self._parser = HttpResponseParser(self)
        self._reply: Incoming | None = None
        self._n_head_bytes = 0
        self._may_go_on = False
        self._is_held = False

    async def exchange(self, request: bytes) -> Incoming:
        """The reply, once its head is here, to an encoded request. Raises OSError."""
        reply = self._reply = Incoming(self)
        self._n_head_bytes = 0
        self.resume()  # the reply before may have been held up to its last byte
        self._transport.write(request)
        try:
            while not reply.has_head and reply.fault is None:
                await reply.wait()
        except BaseException:
            self.abort()
            raise
        if reply.fault is not None and not reply.has_head:
            raise reply.fault
        return reply

    def resume(self) -> None:
        """What waited was taken."""
        if self._is_held and self.is_open:
            self._is_held = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Ends the connection, and with it what it carries."""
        self._transport.abort()
        self._lost(ConnectionAbortedError("the connection was given up"))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._read(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._transport.abort()
            fault = ConnectionError("the server does not speak HTTP/1.1 as it should")
            fault.__cause__ = error
            self._lost(fault)

    def _read(self, data: bytes) -> None:
        reply = self._reply
        self._parser.feed_data(data)
        if reply is None:
            return
        if not reply.has_head:
            self._n_head_bytes += len(data)
            if self._n_head_bytes > MAX_HEAD_BYTES:
                raise HttpParserError(f"a head of over {MAX_HEAD_BYTES} bytes")
        if reply.is_whole:
            self._ended()
        reply.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`. A body without a length ends here."""
        reply = self._reply
        if reply is not None and reply.has_head and exc is None and not _is_framed(reply.headers):
            reply.is_whole = True
        self._lost(ConnectionResetError("the server closed the connection"))

    def _lost(self, fault: OSError) -> None:
        was_open, self.is_open = self.is_open, False
        reply = self._reply
        if reply is None:
            return
        if not reply.is_whole:
            reply.fault = reply.fault or fault
        if was_open:
            self._ended()
        reply.wake()

    def _ended(self) -> None:
        self._reply = None
        if self.is_open and not self._may_go_on:
            self.is_open = False
            self._transport.close()
        self._on_free(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A reply begins, to a request that is still out."""
        if self._reply is None or self._reply.is_whole:
            raise ConnectionError("the server answered without having been asked")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one behind the body tells nothing that anybody here wants to know."""
        reply = self._reply
        if reply is not None and not reply.has_head:
            key, told = name.decode("latin-1").lower(), value.decode("latin-1")
            reply.headers[key] = f"{reply.headers[key]}, {told}" if key in reply.headers else told

    def on_headers_complete(self) -> None:
        """The end of a head; one with a status below 200 announces another."""
        status = self._parser.get_status_code()
        if self._reply is not None and status >= _FIRST_FINAL:
            self._reply.begin(status)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        reply = self._reply
        if reply is None:
            return
        reply.pieces.append(data)
        reply.n_bytes += len(data)
        if reply.n_bytes > MAX_WAITING_BYTES and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The end of a reply, or of what announced it."""
        reply = self._reply
        if reply is not None and reply.has_head:
            reply.is_whole = True
            self._may_go_on = self._parser.should_keep_alive()
        elif reply is not None:
            reply.headers.clear()


def encoded(request: Request) -> bytes:
    """The request as it goes over the wire. Raises ConnectionError for a header that is no header's text."""
    address = request.address
    fields = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
    if not fields.isascii() or fields.count("\n") + fields.count("\r") != 2 * len(request.headers):
        raise ConnectionError("a header of the request is not one line of ASCII")
    head = (
        f"POST {address.target} HTTP/1.1\r\nhost: {address.authority}\r\n{fields}"
        f"content-length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


def _is_framed(headers: dict[str, str]) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers
