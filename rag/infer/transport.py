"""The network, for every remote model.

Our own connections over httptools' parser, since a gateway is little else than this: on a 2-core machine a call through
httpx over aiohttp took 0.23 to 0.31 ms of CPU, through aiohttp by itself 0.15, and through this 0.04 (2026-11). More in
docs/decisions/0024-own-connections-to-providers.md.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import getproxies

import httpx

from rag.base.errors import BadDependency, Unavailable
from rag.infer.exchange import Reply, Request, Transport
from rag.infer.pool import KEEP_ALIVE_S, Pool
from rag.telemetry.w3c import outgoing


@asynccontextmanager
async def open_transport(max_connections: int) -> AsyncIterator[Transport]:
    """A pool of at most that many connections, closed on the way out. One pool per upstream: none starves another.

    Honours the proxy and certificate variables of the environment; keeps no cookies; follows no redirects.
    """
    context = await asyncio.to_thread(httpx.create_ssl_context)  # reads every authority's certificate, some 20 ms
    if getproxies():
        async with _through_proxies(max_connections, context) as transport:
            yield transport
        return
    pool = Pool(max_connections, context)
    try:
        yield pool
    finally:
        await pool.aclose()


@asynccontextmanager
async def _through_proxies(max_connections: int, context: ssl.SSLContext) -> AsyncIterator[Transport]:
    """By aiohttp, which knows the environment's words for them."""
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    from rag.infer.over_httpx import OverHttpx

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=max_connections, keepalive_timeout=KEEP_ALIVE_S, ssl=context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)

    transport = AiohttpTransport(verify=context, client=session)
    try:
        yield OverHttpx(transport)
    finally:
        await transport.aclose()


async def send(transport: Transport, request: Request, target: str) -> Reply:
    """The reply with its body still to come: the caller closes it. Raises Unavailable when there is none.

    The request carries the trace that it belongs to.
    """
    request.headers.update(outgoing())
    try:
        return await transport.post(request)
    except OSError as error:
        raise Unavailable(f"{target} cannot be reached ({_class_of(error)})") from error


async def more(reply: Reply, target: str) -> bytes | None:
    """All of the body that has arrived since; None at its end. Raises BadDependency when the connection breaks."""
    try:
        return await reply.next()
    except OSError as error:
        raise BadDependency(f"{target} broke off ({_class_of(error)})") from error


async def read(reply: Reply, target: str, max_bytes: int) -> bytes:
    """The whole body. Raises BadDependency when it is longer than `max_bytes`."""
    pieces = bytearray()
    while (piece := await more(reply, target)) is not None:
        pieces += piece
        if len(pieces) > max_bytes:
            raise BadDependency(f"{target} answered with over {max_bytes} bytes")
    return bytes(pieces)


def _class_of(error: Exception) -> str:
    return type(error.__cause__ or error).__name__
