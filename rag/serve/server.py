"""The process: granian's embedded server in our own event loop, from the bound socket to the drained one.

Embedded, because one process with one loop is what the services are made for: granian's other modes start the
application in a process or thread with a loop of its own. Tried with granian 2.8: its `stop` closes the listening
socket at once and lets requests in flight end, it holds back what a slow reader does not take, and it tells when a
client has left.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # exported without saying so
from granian.server.embed import Server
from litestar.types import ASGIApp, Receive, Scope, Send

from rag.base.errors import ConfigError, Unavailable
from rag.compose import Services
from rag.govern.keys import check_bind
from rag.serve.app import create_app
from rag.serve.door import Door

_BACKLOG = 1024
_MAX_CONNECTIONS = 8192
"""Granian's own default is the backlog: with 1,024 idle connections it would answer nobody else (2.8, 2026-11)."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LAST_WORDS_S = 1.0
"""How long cancelled requests have to clean up after themselves."""
_QUIET: dict[str, Any] = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}
"""Leaves logging as it is set up here; granian would put handlers on stdout."""


class StopButton:
    """Pressed once, the server drains; pressed again, it ends at once."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()

    def press(self) -> None:
        """What a signal does."""
        (self.now if self.drain.is_set() else self.drain).set()


async def serve(
    opened: AbstractAsyncContextManager[Services],
    bound: socket.socket,
    *,
    version: str,
    on_listening: Callable[[], None] = lambda: None,
    button: StopButton | None = None,
) -> None:
    """Serves on a socket from `bind` until a signal; returns when the last request has ended, at most `drain_s` later.

    `on_listening` is called when requests are accepted, which is after the services are open. Raises ConfigError when
    the address needs API keys and there are none.
    """
    button = button or StopButton()
    with bound, _signals_to(button):
        async with opened as services:
            check_bind(bound.getsockname()[0], services.keys)
            flights = Flights(Door(create_app(services, version=version), services))
            server = _Server(flights, bound)
            serving = asyncio.create_task(server.serve())
            on_listening()
            if await _ends_before(serving, button.drain):
                raise Unavailable("the web server ended by itself; the log has the cause") from serving.exception()
            services.health.drain()
            await _ends_before(serving, button.now, within_s=services.limits.linger_s)
            server.stop()  # type: ignore[no-untyped-call]  # granian types its parameters only
            if not await _ends_before(serving, button.now, within_s=services.limits.drain_s):
                flights.cancel()
                await asyncio.wait({serving}, timeout=_LAST_WORDS_S)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises ConfigError when it is taken or not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as stack:
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it, and granian does not set it: the first event of a stream would wait 40 ms for the
            # client's acknowledgement of the head.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.bind(address)
            stack.pop_all()
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error.strerror}; choose another address or port"
        raise ConfigError(message, path="server") from error
    return bound


class Flights:
    """The requests in flight, so that they can be ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[Any] | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._tasks.discard(task)

    def cancel(self) -> None:
        """Ends every request in flight; their clients see a 500 or a stream cut off."""
        for task in self._tasks:
            if task is not None:
                task.cancel()


class _Server(Server):
    """Granian on a socket that is bound already: its own would share the port of another server without a word."""

    def __init__(self, app: ASGIApp, bound: socket.socket) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=_MAX_CONNECTIONS,
            log_level=LogLevels.error,
            log_dictconfig=_QUIET,
        )
        self._bound = bound

    def _init_shared_socket(self) -> None:
        holder: Any = SocketHolder
        self._shd = holder(self._bound.detach(), False, _BACKLOG)


@contextmanager
def _signals_to(button: StopButton) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, button.press)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _ends_before(serving: asyncio.Task[None], pressed: asyncio.Event, within_s: float | None = None) -> bool:
    """Whether the server ends before the button is pressed, and within the time."""
    stopped = asyncio.create_task(pressed.wait())
    await asyncio.wait({serving, stopped}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    return serving.done()
