"""Whole answers of plain ASGI routes."""

from litestar.types import Send
from msgspec import Struct


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer in JSON."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def send_json(reply: Reply, send: Send) -> None:
    """Sends all of it."""
    length = b"%d" % len(reply.body)
    headers = [(b"content-type", b"application/json"), (b"content-length", length), *reply.headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
