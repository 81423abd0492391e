"""Whole answers of plain ASGI routes."""

from collections.abc import Mapping

from litestar.types import Send
from msgspec import Struct


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer in JSON."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def send_json(reply: Reply, send: Send, further: Mapping[str, str] = {}) -> None:
    """Sends all of it, with `further` headers."""
    length = b"%d" % len(reply.body)
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *reply.headers]
    headers += [(name.encode(), value.encode()) for name, value in further.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
