"""Who may come in: a key becomes a Principal before the body is read, and every route names the scope it needs."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from rag.base.errors import Forbidden
from rag.base.types import Principal
from rag.govern.access import require
from rag.govern.keys import KeyRing, is_loopback

NEEDS = "needs_scope"
PUBLIC: dict[str, Any] = {NEEDS: None}
"""`opt` of a route that asks for no key. Every other route needs "read" unless it says otherwise."""
WRITES: dict[str, Any] = {NEEDS: "write"}


class Doorkeeper:
    """The guard of the application: raises Unauthenticated or Forbidden, or leaves the Principal as `request.user`."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Litestar calls it before it reads the body; async, as a plain function would be sent to a thread."""
        scope = handler.opt.get(NEEDS, "read")
        if scope is None:
            return
        if self._keys.is_open:
            _refuse_strange_host(connection.headers.get("host", ""))
        principal = self._keys.authenticate(token_in(connection.headers))
        require(principal, scope)
        connection.scope["user"] = principal


def provide_principal(request: Request[Principal, Any, Any]) -> Principal:
    """The principal as a handler receives it."""
    return request.user


def token_in(headers: Any) -> str | None:
    """The key that the request carries: `Authorization: Bearer <key>`, else `X-API-Key: <key>`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(token.strip()) or None
    return headers.get("x-api-key") or None


def _refuse_strange_host(host: str) -> None:
    """A server without keys listens on loopback only; a page in a browser may still reach it under a name of its own.

    Such a request (DNS rebinding) names a host that is not this machine.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if not is_loopback(name):
        raise Forbidden("without API keys this server answers to localhost only; configure keys to use another name")
