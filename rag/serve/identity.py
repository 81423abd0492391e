"""The name of a request: the caller's own if it is sane, else a fresh one; on every response and in every problem."""

import re
from typing import Any

from litestar.types import Message, Scope

from rag.base.ids import request_id
from rag.serve.headers import header

HEADER = "X-Request-Id"
_HEADER = HEADER.lower().encode()

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_KEY = "groundwire_request_id"


def request_id_of(scope: Scope) -> str:
    """The id of the request, settled on the first call."""
    state: dict[str, Any] = scope["state"]
    if _KEY not in state:
        given = header(scope, _HEADER) or ""
        state[_KEY] = given if _SANE.fullmatch(given) else request_id()
    known: str = state[_KEY]
    return known


async def name_response(message: Message, scope: Scope) -> None:
    """Puts the request id on a response as it leaves, whoever made it."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), (_HEADER, request_id_of(scope).encode())]
