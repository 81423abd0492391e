"""One call of a model API: its body in, one object or a stream of events out.

These routes are plain ASGI inside of the application: routing, keys, errors and counting are the application's, and
what the framework would do beside (dependencies, signatures, response objects) is left out. It costs 90 µs a request,
a quarter of what a gateway may take (108 µs against 20, measured 2026-11-23).
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from litestar import Request, Response, asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from rag.base.types import Principal
from rag.compose import Services
from rag.serve.bodies import decode, read_body, refuse_unless_post
from rag.serve.guards import READS
from rag.serve.identity import request_id_of
from rag.serve.replies import Reply, send_json
from rag.serve.streams import GRACE_S, EventStream, while_connected

BodyT = TypeVar("BodyT")


class Api(Struct, frozen=True, kw_only=True):
    """How one family of clients is told of errors: as a response, and as an event of a stream that has begun."""

    respond: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
    event: Callable[[Exception, str], bytes]


class Call(Struct, frozen=True, kw_only=True):
    """A request of somebody who was let in; `headers` are told with what it is answered."""

    services: Services
    principal: Principal
    request_id: str
    headers: dict[str, str]


Work: TypeAlias = Coroutine[Any, Any, Reply] | AsyncGenerator[bytes, None]
"""The making of an answer, whole or as encoded events. It ends when the client leaves or the time is up."""


def post(
    path: str, api: Api, services: Services, body_type: type[BodyT], handle: Callable[[Call, BodyT], Work]
) -> ASGIRouteHandler:
    """The route of a body that is read as a `body_type`, and of the work that `handle` makes of it."""
    limits = services.limits
    within_s = limits.gateway_timeout_s + GRACE_S

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        refuse_unless_post(scope)
        body: BodyT = decode(await read_body(receive, limits.max_gateway_body_bytes, limits.body_timeout_s), body_type)
        call = Call(services=services, principal=scope["user"], request_id=request_id_of(scope), headers={})
        work = handle(call, body)
        if isinstance(work, AsyncGenerator):
            stream = EventStream(
                work,
                lambda error: api.event(error, call.request_id),
                heartbeat_s=limits.heartbeat_s,
                within_s=within_s,
                headers=lambda: call.headers,
            )
            await stream(scope, receive, send)
        else:
            reply = await while_connected(receive, work, within_s=within_s)
            await send_json(reply, send, call.headers)

    # The scope is not copied: the hooks of the application write into it what they will read.
    return asgi(path, name=f"POST {path}", opt=READS, exception_handlers={Exception: api.respond}, copy_scope=False)(
        serve
    )
