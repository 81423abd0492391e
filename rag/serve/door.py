"""Before the application: whoever finds no room is refused at once, and large bodies wait outside until they fit.

Around the application and not in it, because a refusal must cost next to nothing when it is needed most: 0.11 ms of CPU
from the socket on, of which a way through routing, guard and body would be another 0.2 (2 cores, 2026-11-23).
"""

from contextlib import AsyncExitStack
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Receive, Scope, Send, WebSocketReceiveMessage

from rag.base.errors import LoadError, Overloaded, QuotaExceeded, Unauthenticated
from rag.compose import Services
from rag.serve.headers import token_in
from rag.serve.held import HeldBytes
from rag.serve.identity import HEADER, request_id_of
from rag.serve.problems import MEDIA_TYPE, describe, headers_of
from rag.telemetry import names

ASK: Final = "/ask"
QUESTIONS: Final = frozenset({ASK, "/search"})
"""The routes whose work is a search. What else searches is refused there, a little later and at a little more cost."""

SMALL_BODY_BYTES: Final = 64 * 1024
"""Bodies up to this size are not worth counting."""

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

DOOR: Final = "door"
"""The route under which refusals are counted: no route has seen them."""


class Door:
    """The ASGI application around the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._keys = services.keys
        self._metrics = services.metrics
        self._admission = services.admission
        self._limits = services.limits
        self._held = HeldBytes(services.limits.max_held_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or refuses it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] in QUESTIONS and scope["method"] == "POST":
                self._check(scope)
            n_bytes = _declared_bytes(scope)
            if n_bytes is not None and n_bytes <= SMALL_BODY_BYTES:
                await self._app(scope, receive, send)
                return
            async with AsyncExitStack() as holding:
                await self._app(scope, await self._weighed(n_bytes, scope, receive, holding), send)
        except LoadError as error:
            await self._refuse(error, scope, send)

    def _check(self, scope: HTTPScope) -> None:
        """Raises what the search would raise. A question may look into the memory first, a few at a time."""
        try:
            self._admission.check(self._tenant(scope))
        except Overloaded:
            if scope["path"] != ASK or not self._admission.grants_a_look():
                raise

    async def _weighed(
        self, n_bytes: int | None, scope: HTTPScope, receive: Receive, holding: AsyncExitStack
    ) -> Receive:
        """The way to the body, which waits until that fits; `holding` keeps the room for as long as the request lasts.

        Who does not say how large a body is (None) gets room for the largest once it is no longer small. Who has no
        key gets none: the application refuses them before it reads.
        """
        limits = self._limits
        is_document = scope["path"].startswith("/documents")
        most = limits.max_document_bytes if is_document else limits.max_gateway_body_bytes
        hold = self._held.hold(min(n_bytes or most, most), limits.body_timeout_s)
        if n_bytes is not None:
            if self._is_known(scope):
                await holding.enter_async_context(hold)
            return receive
        n_left = SMALL_BODY_BYTES

        async def weighing() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            nonlocal n_left
            message = await receive()
            n_before, n_left = n_left, n_left - (len(message["body"]) if message["type"] == "http.request" else 0)
            if n_before >= 0 > n_left:
                await holding.enter_async_context(hold)
            return message

        return weighing

    def _is_known(self, scope: HTTPScope) -> bool:
        try:
            self._keys.authenticate(token_in(scope))
        except Unauthenticated:
            return False
        return True

    def _tenant(self, scope: HTTPScope) -> str:
        try:
            return self._keys.authenticate(token_in(scope)).tenant
        except Unauthenticated:
            return ""  # the application says so itself; meanwhile all who have no key are one tenant

    async def _refuse(self, error: LoadError, scope: HTTPScope, send: Send) -> None:
        scope.setdefault("state", {})
        problem = describe(error, request_id_of(scope))
        self._metrics.add(names.SHED, "quota" if isinstance(error, QuotaExceeded) else "overloaded")
        self._metrics.add(names.HTTP_REQUESTS, scope["method"], DOOR, str(problem.status))
        body = msgspec.json.encode(problem)
        fields = {**headers_of(error, problem), HEADER: problem.instance, "Content-Type": MEDIA_TYPE}
        headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _declared_bytes(scope: HTTPScope) -> int | None:
    """How large the body is by the request's own word, 0 for a method without one; None where it does not say."""
    length: int | None = None if scope["method"] in _WITH_BODY else 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length
