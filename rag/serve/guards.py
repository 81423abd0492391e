"""Who may come in: a key becomes a Principal before the body is read, and every route names the scope it needs."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from rag.base.errors import Forbidden, QuotaExceeded
from rag.base.types import Principal
from rag.base.types import Scope as KeyScope
from rag.govern.access import require
from rag.govern.accounts import AccountBook
from rag.govern.keys import KeyRing, is_loopback
from rag.govern.meters import Meters, Standing, Unit
from rag.serve.headers import header, token_in

NEEDS = "needs_scopes"
"""In the `opt` of a route: the scopes of which a key must hold one. Where it is forgotten, only operators come in."""
PUBLIC: dict[str, Any] = {NEEDS: ()}
"""`opt` of a route that asks for no key."""
READS: dict[str, Any] = {NEEDS: ("read",)}
WRITES: dict[str, Any] = {NEEDS: ("write",)}
WATCHES: dict[str, Any] = {NEEDS: ("metrics",)}
NEEDS_WHERE_OPEN = "scopes_where_open"
"""The same for a server without keys, where nobody is an operator."""
REBUILDS: dict[str, Any] = {NEEDS: ("operator",), NEEDS_WHERE_OPEN: ("write",)}
OPERATES: dict[str, Any] = {NEEDS: ("operator",)}
LOOKS_BACK: dict[str, Any] = {NEEDS: ("read", "operator")}

_STANDINGS = "groundwire_standings"
_NAMES: dict[Unit, tuple[bytes, bytes, bytes]] = {
    "requests": (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    "tokens": (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}


class Doorkeeper:
    """ASGI middleware around every route, before the body is read: leaves the Principal as `request.user`.

    Raises Unauthenticated, Forbidden and QuotaExceeded. Not one of Litestar's guards, for each of which it copies the
    route: 4 % of a model call's cost here (2026-11).
    """

    def __init__(self, app: ASGIApp, keys: KeyRing, book: AccountBook, meters: Meters) -> None:
        self._app = app
        self._keys = keys
        self._book = book
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, if its key may ask this route."""
        opt = scope["route_handler"].opt
        scopes = opt.get(NEEDS, ("operator",))
        if scopes:
            await self._admit(scope, opt.get(NEEDS_WHERE_OPEN, scopes) if self._keys.is_open else scopes)
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, scopes: Sequence[KeyScope]) -> None:
        if self._keys.is_open:
            _refuse_strange_host(header(scope, b"host") or "")
            _refuse_strange_page(header(scope, b"origin"))
        principal = self._keys.authenticate(token_in(scope))
        require(principal, *scopes)
        accounts = self._book.of(principal.key_id)
        scope["user"] = principal
        scope["state"][_STANDINGS] = standings = [await self._meters.standing(accounts, "tokens")]
        try:
            standings.append(await self._meters.take(accounts, "requests"))
        except QuotaExceeded:
            standings.append(await self._meters.standing(accounts, "requests"))
            raise


async def tell_standing(message: Message, scope: Scope) -> None:
    """Puts on a response how much of its rates the key has left, in the headers that OpenAI's clients read."""
    standings = scope["state"].get(_STANDINGS)
    if standings and message["type"] == "http.response.start":
        told = [field for standing in standings if standing is not None for field in _fields(standing)]
        message["headers"] = [*message.get("headers", ()), *told]


def _fields(standing: Standing) -> tuple[tuple[bytes, bytes], ...]:
    limit, remaining, reset = _NAMES[standing.unit]
    return (
        (limit, b"%d" % standing.limit_per_minute),
        (remaining, b"%d" % standing.n_remaining),
        (reset, b"%.3fs" % standing.reset_s),
    )


def provide_principal(request: Request[Principal, Any, Any], services: NamedDependency[Any]) -> Principal:  # noqa: ARG001 - see below
    """The principal as a handler receives it.

    It asks for `services` so as to be made after them: side by side Litestar would make the two in a task group, which
    costs a quarter of all that a request spends in the framework (0.06 of 0.22 ms, 2026-11).
    """
    return request.user


def _refuse_strange_host(host: str) -> None:
    """A server without keys listens on loopback only; a page in a browser may still reach it under a name of its own.

    Such a request (DNS rebinding) names a host that is not this machine.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if not is_loopback(name):
        raise Forbidden("without API keys this server answers to localhost only; configure keys to use another name")


def _refuse_strange_page(origin: str | None) -> None:
    """Browsers let any page send a POST to any address, this one included, and hide from it only the answer.

    They name the page in `Origin` then. A page of this machine is one of its owner's programs.
    """
    if origin is None:
        return
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise Forbidden("without API keys this server answers no pages of other hosts; configure keys to admit them")
