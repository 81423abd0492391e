"""Headers: those of a request one at a time from the raw list, as most need two or three; and one kind of a reply's."""

from litestar.types import Scope

from rag.base.answers import Recall


def header(scope: Scope, name: bytes) -> str | None:
    """The first value under the lower-case name, if there is one."""
    for each, value in scope["headers"]:
        if each == name:
            return value.decode("latin-1")
    return None


def cache_headers(recall: Recall) -> dict[str, str]:
    """`x-cache`, with `x-cache-tier` and `x-cache-age` (seconds) on a hit."""
    headers: dict[str, str] = {"x-cache": recall.status}
    if recall.tier:
        headers |= {"x-cache-tier": recall.tier, "x-cache-age": str(int(recall.age_s or 0))}
    return headers


def token_in(scope: Scope) -> str | None:
    """The key that the request carries: `Authorization: Bearer <key>`, else `X-API-Key: <key>`."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip() or None
    return header(scope, b"x-api-key") or None
