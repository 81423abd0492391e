"""The process: from the bound socket to the drained one, in our own event loop.

Of uvicorn its connections are used and not its server, which would take the signals and the order of closing: see
docs/decisions/0030-connections-in-the-loop.md.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager

from rag.base.errors import ConfigError
from rag.compose import Services
from rag.govern.keys import check_bind
from rag.serve.app import create_app
from rag.serve.connection import Connections
from rag.serve.door import Door

_BACKLOG = 1024
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LAST_WORDS_S = 1.0
"""How long cancelled requests have to clean up after themselves."""


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
            connections = Connections(Door(create_app(services, version=version), services))
            loop = asyncio.get_running_loop()
            listening = await loop.create_server(connections.connect, sock=bound, backlog=_BACKLOG)
            serving = asyncio.create_task(connections.wait_closed())
            on_listening()
            await button.drain.wait()
            services.health.drain()
            await _ends_before(serving, button.now, within_s=services.limits.linger_s)
            listening.close()
            connections.close()
            if not await _ends_before(serving, button.now, within_s=services.limits.drain_s):
                connections.cancel()
                await asyncio.wait({serving}, timeout=_LAST_WORDS_S)
                connections.abort()
                await serving


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises ConfigError when it is taken or not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as stack:
            bound = stack.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it, whichever loop accepts them: without it the first event of a stream would wait up
            # to 40 ms for the client's acknowledgement of the head.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.bind(address)
            stack.pop_all()
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error.strerror}; choose another address or port"
        raise ConfigError(message, path="server") from error
    return bound


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
