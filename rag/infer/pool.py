"""Connections that are kept for the next request, and no more of them at a time than allowed."""

import asyncio
import socket
import ssl
import time
from functools import partial
from typing import Final

from aiohappyeyeballs import start_connection

from rag.base.deadline import Clock
from rag.infer.connection import Connection, Incoming, encoded
from rag.infer.exchange import Origin, Request

KEEP_ALIVE_S: Final = 4.0  # below uvicorn's 5 s, so that this side closes first and no POST meets a dying connection
_NEXT_ADDRESS_S: Final = 0.25  # until another address of the same server is tried beside the first (RFC 8305)


class Pool:
    """A `Transport` straight to its servers. Keeps no cookies, follows no redirects, repeats nothing."""

    def __init__(self, max_connections: int, context: ssl.SSLContext, clock: Clock = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._room = asyncio.Semaphore(max_connections)
        self._busy: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, request: Request) -> Incoming:
        """See `Transport`. Waits where as many exchanges go on as may."""
        wire = encoded(request)
        await self._room.acquire()
        try:
            connection = self._kept(request.address.origin) or await self._connected(request)
        except BaseException:
            self._room.release()
            raise
        self._busy.add(connection)
        return await connection.exchange(wire)

    async def aclose(self) -> None:
        """Ends all connections, and with them what they carry."""
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            connection.abort()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()

    def _kept(self, origin: Origin) -> Connection | None:
        """The connection that became free last: the others may grow old."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if self._is_fresh(connection):
                return connection
            connection.abort()
        return None

    async def _connected(self, request: Request) -> Connection:
        origin, loop = request.address.origin, asyncio.get_running_loop()
        async with asyncio.timeout(request.connect_timeout_s):
            places = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            opened = await start_connection(places, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(partial(self._freed, origin)),
                sock=opened,
                ssl=self._context if origin.is_secure else None,
                server_hostname=origin.host if origin.is_secure else None,
            )
        return connection

    def _freed(self, origin: Origin, connection: Connection) -> None:
        self._busy.discard(connection)
        self._room.release()
        if not connection.is_open:
            return
        connection.free_since_s = self._clock()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._drop_old)

    def _drop_old(self) -> None:
        """Every few seconds while there is anything to look at."""
        self._sweep = None
        for origin, idle in list(self._idle.items()):
            fresh = [one for one in idle if self._is_fresh(one)]
            for connection in set(idle).difference(fresh):
                connection.abort()
            self._idle[origin] = fresh
        if any(self._idle.values()):
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._drop_old)

    def _is_fresh(self, connection: Connection) -> bool:
        return connection.is_open and self._clock() - connection.free_since_s < KEEP_ALIVE_S
