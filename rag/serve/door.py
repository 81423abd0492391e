"""Before the application: whoever finds no room is refused at once, and large bodies wait outside until they fit.

Around the application and not in it, because a refusal must cost next to nothing when it is needed most: 0.11 ms of CPU
from the socket on, of which a way through routing, guard and body would be another 0.2 (2 cores, 2026-11-23).
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from rag.base.errors import LoadError, Overloaded, QuotaExceeded, Unauthenticated
from rag.compose import Services
from rag.serve.guards import token_in
from rag.serve.held import HeldBytes
from rag.serve.identity import HEADER, request_id_of
from rag.serve.problems import MEDIA_TYPE, describe, headers_of
from rag.telemetry import names

ASK: Final = "/ask"
QUESTIONS: Final = frozenset({ASK, "/search"})
"""The routes whose work is a search. What else searches is refused there, a little later and at a little more cost."""

SMALL_BODY_BYTES: Final = 64 * 1024
"""Bodies up to this size are not worth counting."""

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
            if scope["method"] == "PUT":
                await self._put(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except LoadError as error:
            await self._refuse(error, scope, send)

    def _check(self, scope: HTTPScope) -> None:
        """Raises what the search would raise. A question may look into the memory first, a few at a time."""
        try:
            self._admission.check(self._tenant(headers_in(scope)))
        except Overloaded:
            if scope["path"] != ASK or not self._admission.grants_a_look():
                raise

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
