"""One call of a model API: its body in, one object or a stream of events out.

These routes are plain ASGI inside of the application: routing, keys, errors and counting are the application's, and
what the framework would do beside (dependencies, signatures, response objects) is left out. It costs 90 µs a request,
a quarter of what a gateway may take (108 µs against 20, measured 2026-11-23).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from litestar import Request, Response, asgi
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from rag.base.errors import TooLarge
from rag.base.types import Principal
from rag.compose import Services
from rag.serve.bodies import ClientLeft, decode
from rag.serve.guards import READS
from rag.serve.identity import request_id_of
from rag.serve.streams import GRACE_S, EventStream, while_connected

BodyT = TypeVar("BodyT")


class Api(Struct, frozen=True, kw_only=True):
    """How one family of clients is told of errors: as a response, and as an event of a stream that has begun."""

    respond: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
    event: Callable[[Exception, str], bytes]


class Call(Struct, frozen=True, kw_only=True):
    """A request of somebody who was let in."""

    services: Services
    principal: Principal
    request_id: str


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer in JSON."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


Work: TypeAlias = Coroutine[Any, Any, Reply] | AsyncGenerator[bytes, None]
"""The making of an answer, whole or as encoded events. It ends when the client leaves or the time is up."""


def post(
    path: str, api: Api, services: Services, body_type: type[BodyT], handle: Callable[[Call, BodyT], Work]
) -> ASGIRouteHandler:
    """The route of a body that is read as a `body_type`, and of the work that `handle` makes of it."""
    within_s = services.limits.gateway_timeout_s + GRACE_S

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST":
            raise MethodNotAllowedException(headers={"Allow": "POST"})
        body: BodyT = decode(await _read(services, receive), body_type)
        call = Call(services=services, principal=scope["user"], request_id=request_id_of(scope))
        work = handle(call, body)
        if isinstance(work, AsyncGenerator):
            stream = EventStream(
                work,
                lambda error: api.event(error, call.request_id),
                heartbeat_s=services.limits.heartbeat_s,
                within_s=within_s,
            )
            await stream(scope, receive, send)
        else:
            await _send(await while_connected(receive, work, within_s=within_s), send)

    # The scope is not copied: the hooks of the application write into it what they will read.
    return asgi(path, name=f"POST {path}", opt=READS, exception_handlers={Exception: api.respond}, copy_scope=False)(
        serve
    )


async def _read(services: Services, receive: Receive) -> bytes:
    limits = services.limits
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            return await _body(receive, limits.max_gateway_body_bytes)
    except TimeoutError as error:
        message = f"the body took longer than {limits.body_timeout_s:g} s to arrive"
        raise HTTPException(message, status_code=408) from error


async def _body(receive: Receive, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        n_bytes += len(message["body"])
        if n_bytes > max_bytes:
            raise TooLarge(f"the body is larger than the {max_bytes} bytes that are allowed here")
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def _send(reply: Reply, send: Send) -> None:
    length = b"%d" % len(reply.body)
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *reply.headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
