"""The simulated provider behind a port, fast enough not to be what is measured.

A bare protocol: a response that is due at once is one write of bytes that were made once. Beside the five wires it
serves `GET /bench/bill`, `DELETE /bench/bill` and `PUT /bench/scripts`.
"""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import msgspec

from rag.base.errors import ConfigError
from rag.bench.upstream.asked import Asked, NotAsked, read_request
from rag.bench.upstream.bill import Bill, Line
from rag.bench.upstream.performance import Performance, dated, perform
from rag.bench.upstream.script import Prompter, Script, read_book

MAX_HEAD_BYTES = 64 * 1024

_END = b"\r\n\r\n"
_CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")
_LAST_CHUNK = b"0\r\n\r\n"
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


class Upstream:
    """What all connections share."""

    def __init__(self, prompter: Prompter) -> None:
        self.prompter = prompter
        self.bill = Bill()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listens; port 0 takes a free one."""
        return await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port)

    def control(self, method: str, path: str, body: bytes) -> bytes:
        """The response to a request that is not a provider's."""
        match method, path:
            case "GET", "/bench/bill":
                bill = {"n_open": self.bill.n_open, "totals": self.bill.totals, "lines": list(self.bill)}
                return _response(200, msgspec.json.encode(bill))
            case "DELETE", "/bench/bill":
                self.bill.clear()
                return _response(200, b"{}")
            case "PUT", "/bench/scripts":
                try:
                    self.prompter.follow(read_book(body))
                except ConfigError as error:
                    return _response(400, msgspec.json.encode({"error": {"message": str(error)}}))
                return _response(200, b"{}")
        return _response(404, msgspec.json.encode({"error": {"message": f"there is no {method} {path} here"}}))


class _Connection(asyncio.Protocol):
    """Requests one after the other; the next is read when the one before is answered."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._received = bytearray()
        self._player: _Player | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type

    def connection_lost(self, exc: Exception | None) -> None:
        if self._player:
            self._player.leave()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while not self._player and (request := self._request()):
            self._answer(*request)

    def _request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """The next request that is there in full."""
        received = self._received
        stop = received.find(_END)
        if stop < 0:
            if len(received) > MAX_HEAD_BYTES:
                self._transport.abort()
            return None
        first, *lines = received[:stop].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            found = _unchunked(received, stop + len(_END))
        else:
            end = stop + len(_END) + int(headers.get("content-length") or 0)
            found = (bytes(received[stop + len(_END) : end]), end) if len(received) >= end else None
        if found is None:
            return None
        del received[: found[1]]
        method, target, _ = first.split(" ", 2)
        return method, target, headers, found[0]

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        upstream = self._upstream
        try:
            asked = read_request(method, target, headers, body)
        except NotAsked:
            self._transport.write(upstream.control(method, target, body))
            return
        script = upstream.prompter.next(asked)
        line = upstream.bill.open(asked)
        ready = _instant(asked, script)
        performance = perform(asked, script)
        if ready is None:
            self._player = _Player(self._transport, upstream.bill, line, performance, self._played)
            return
        line.status = performance.status
        upstream.bill.sent(line, performance, sum(step.n_tokens for step in performance.steps))
        upstream.bill.close(line, performance)
        self._transport.write(ready)

    def _played(self) -> None:
        self._player = None
        self.data_received(b"")


class _Player:
    """Sends one response step by step, each when it is due."""

    def __init__(
        self,
        transport: asyncio.Transport,
        bill: Bill,
        line: Line,
        performance: Performance,
        done: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._bill = bill
        self._line = line
        self._performance = performance
        self._done = done
        self._next = 0
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        if performance.ending != "mute":
            self._timer = self._loop.call_at(self._began_s + performance.starts_s, self._begin)

    def leave(self) -> None:
        """The client is gone."""
        if self._timer:
            self._timer.cancel()
        self._bill.close(self._line, self._performance, left=True)

    def _begin(self) -> None:
        if self._performance.ending == "hang_up":
            self._finish()
            return
        self._line.status = self._performance.status
        self._transport.write(_head(self._performance))
        self._play()

    def _play(self) -> None:
        steps = self._performance.steps
        while self._next < len(steps):
            due_s = self._began_s + steps[self._next].at_s
            if due_s > self._loop.time():
                self._timer = self._loop.call_at(due_s, self._play)
                return
            step = steps[self._next]
            self._next += 1
            self._transport.write(_framed(self._performance, step.data))
            self._bill.sent(self._line, self._performance, step.n_tokens)
        if self._performance.ending != "silence":
            self._finish()

    def _finish(self) -> None:
        self._bill.close(self._line, self._performance)
        match self._performance.ending:
            case "cut":
                self._transport.close()
            case "reset" | "hang_up":
                _reset(self._transport)
            case _:
                if self._performance.n_bytes is None:
                    self._transport.write(_LAST_CHUNK)
                self._done()


@lru_cache(maxsize=4096)
def _instant(asked: Asked, script: Script) -> bytes | None:
    """The whole response where all of it is due at once and no date is in it."""
    performance = perform(asked, script)
    if not performance.is_instant or (script.retry_after or "").startswith("date"):
        return None
    pieces = b"".join(_framed(performance, step.data) for step in performance.steps)
    return _head(performance) + pieces + (_LAST_CHUNK if performance.n_bytes is None else b"")


def _head(performance: Performance) -> bytes:
    length = performance.n_bytes
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    fields = "".join(f"{name}: {value}\r\n" for name, value in dated(performance.headers, time.time()))
    reason = _REASONS.get(performance.status, "Simulated")
    return f"HTTP/1.1 {performance.status} {reason}\r\n{fields}{size}\r\n\r\n".encode("latin-1")


def _framed(performance: Performance, data: bytes) -> bytes:
    return data if performance.n_bytes is not None or not data else b"%x\r\n%b\r\n" % (len(data), data)


def _response(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _unchunked(received: bytearray, at: int) -> tuple[bytes, int] | None:
    """The body in chunks that begins at `at` and where it ends; None when it is not all there."""
    body = bytearray()
    while match := _CHUNK.match(received, at):
        size = int(match[1], 16)
        start = match.end()
        if len(received) < start + size + 2:
            return None
        if size == 0:
            return bytes(body), start + 2
        body += received[start : start + size]
        at = start + size + 2
    return None


def _reset(transport: asyncio.Transport) -> None:
    """Closes with a reset instead of an end."""
    opened = transport.get_extra_info("socket")
    if opened is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
