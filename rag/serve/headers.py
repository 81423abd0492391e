"""Reading the headers of a request: one at a time and from the raw list, as most requests need two or three."""

from litestar.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """The first value under the lower-case name, if there is one."""
    for each, value in scope["headers"]:
        if each == name:
            return value.decode("latin-1")
    return None


def token_in(scope: Scope) -> str | None:
    """The key that the request carries: `Authorization: Bearer <key>`, else `X-API-Key: <key>`."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip() or None
    return header(scope, b"x-api-key") or None
