"""Before the application: whoever finds no room is refused at once, and large bodies wait outside until they fit.

Around the application and not in it, because a refusal must cost next to nothing when it is needed most: 30 µs of CPU
here, 600 µs through routing, guard and body (2026-11).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from rag.base.errors import LoadError, QuotaExceeded, Unauthenticated
from rag.compose import Services
from rag.govern.admission import Permit
from rag.serve.guards import token_in
from rag.serve.held import HeldBytes
from rag.serve.identity import HEADER, request_id_of
from rag.serve.problems import MEDIA_TYPE, describe, headers_of
from rag.telemetry import names

QUESTIONS: Final = frozenset({"/ask", "/search"})
"""The routes whose requests are counted; all others are quick, or wait for somebody else."""

SMALL_BODY_BYTES: Final = 64 * 1024
"""Bodies up to this size are not worth counting."""

DOOR: Final = "door"
"""The route under which refusals are counted: no route has seen them."""

_PERMIT: Final = "groundwire_permit"


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
                await self._ask(scope, receive, send)
            elif scope["method"] == "PUT":
                await self._put(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except LoadError as error:
            await self._refuse(error, scope, send)

    async def _ask(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        permit = self._admission.enter(self._tenant(headers_in(scope)))
        scope.setdefault("state", {})[_PERMIT] = permit
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            permit.leave(served=status == 200)

    async def _put(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        length = headers_in(scope).get("content-length", "")
        n_bytes = int(length) if length.isdecimal() else self._limits.max_document_bytes
        if n_bytes <= SMALL_BODY_BYTES:
            await self._app(scope, receive, send)
            return
        async with self._held.hold(min(n_bytes, self._limits.max_document_bytes), self._limits.body_timeout_s):
            await self._app(scope, receive, send)

    def _tenant(self, headers: Mapping[str, str]) -> str:
        try:
            return self._keys.authenticate(token_in(headers)).tenant
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


def headers_in(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def permit_of(scope: Scope) -> Permit | None:
    """The permit under which a request is being served, where there is a door."""
    state: dict[str, Any] = scope.get("state", {})
    return state.get(_PERMIT)
