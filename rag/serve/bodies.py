"""JSON bodies, decoded once and straight into the type that the handler asks for.

Litestar decodes to dicts first and converts afterwards; here a body that is too deep, too long or of the wrong shape is
refused while it is read, with an RFC 6901 pointer to the first fault.
"""

import asyncio
import re
from functools import lru_cache
from typing import Any, Never

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, InternalServerException, MethodNotAllowedException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive, Scope

from rag.base.alarm import Alarm
from rag.base.errors import InvalidInput, TooLarge
from rag.serve.headers import header
from rag.serve.uploads import FILES, is_file, read_file

BODY_TIMEOUT_S = "body_timeout_s"
"""`opt` of the application: how long a body may take to arrive."""
DEFAULT_BODY_TIMEOUT_S = 300.0

_PLAINER = {r"Expected `str` matching regex '\\S'": "Expected a `str` that is not blank"}
"""For those who do not read regular expressions."""
_AT = re.compile(r"(?P<text>.*?)(?: - at (?:`key` in )?`\$?(?P<path>[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]")
_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`")


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is JSON or nothing."""

    async def json(self) -> Any:
        """The body as the type of the handler's `data`. Raises InvalidInput, TooLarge or a 400 or 415."""
        field = self.route_handler.parsed_data_field
        if field and FILES in self.route_handler.opt and is_file(self):
            return decode(await read_file(self), field.annotation)
        refuse_unless_json(self.content_type[0])
        return decode(await self.body(), field.annotation if field else Any)

    async def body(self) -> bytes:
        """The bytes, at most as many as the route allows."""
        within_s: float = self.route_handler.opt.get(BODY_TIMEOUT_S, DEFAULT_BODY_TIMEOUT_S)
        try:
            async with asyncio.timeout(within_s):
                return await super().body()
        except TimeoutError as error:
            raise HTTPException(f"the body took longer than {within_s:g} s to arrive", status_code=408) from error
        except InternalServerException as error:
            raise ClientLeft from error
        except RequestEntityTooLarge as error:
            limit = self.route_handler.resolve_request_max_body_size()
            raise TooLarge(f"the body is larger than the {limit} bytes that are allowed here") from error


async def read_body(receive: Receive, max_bytes: int, within_s: float) -> bytes:
    """The whole body of a plain ASGI route. Raises TooLarge, ClientLeft or a 408."""
    alarm = Alarm()
    alarm.set(within_s)
    try:
        return await _joined(receive, max_bytes)
    except asyncio.CancelledError as error:
        if not alarm.is_the_cause():
            raise
        raise HTTPException(f"the body took longer than {within_s:g} s to arrive", status_code=408) from error
    finally:
        alarm.close()


async def _joined(receive: Receive, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        piece = message.get("body", b"")
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise TooLarge(f"the body is larger than the {max_bytes} bytes that are allowed here")
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def media_type_of(scope: Scope) -> str:
    """What the request says its body is, without parameters; empty where it says nothing."""
    return (header(scope, b"content-type") or "").partition(";")[0].strip().lower()


def refuse_unless_post(scope: Scope) -> None:
    """Raises a 405: a plain ASGI route gets every method."""
    if scope.get("method") != "POST":
        raise MethodNotAllowedException(headers={"Allow": "POST"})


def refuse_unless_json(media_type: str) -> None:
    """Raises a 415 for another type than JSON; a body that says nothing of its type is taken for it."""
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise HTTPException(f"the body is '{media_type}'; send application/json", status_code=415)


class ClientLeft(HTTPException):
    """The client closed the connection; nobody reads the response to this."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection", status_code=499)


class MalformedJson(InvalidInput):
    """The bytes are not JSON at all, so the pointer is to the whole body."""


def decode(body: bytes, target: Any) -> Any:
    """The body as a `target`. Raises InvalidInput with a pointer to the first fault, or MalformedJson."""
    if not body:
        raise InvalidInput("a JSON body is needed", pointer="")
    try:
        return _decoder(target).decode(body)
    except msgspec.ValidationError as error:
        text, pointer = locate(str(error))
        raise InvalidInput(_PLAINER.get(text, text), pointer=pointer) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse_bytes(body, error)
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply", pointer="") from error


def locate(message: str) -> tuple[str, str]:
    """What a msgspec validation error says, and the RFC 6901 pointer to where.

    msgspec writes `$.a[0].b`, and `[...]` for a value of a mapping; the pointer then stops at the mapping.
    """
    match = _AT.fullmatch(message)
    text, path = (match["text"], match["path"] or "") if match else (message, "")
    steps = [step["name"] or step["index"] for step in _STEP.finditer(path.partition("[...]")[0])]
    if field := _FIELD.match(text):
        steps.append(field["name"])
    return text, pointer_to(*steps)


def pointer_to(*steps: str) -> str:
    """The RFC 6901 pointer through the given member names and indices."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


@lru_cache(maxsize=64)
def _decoder(target: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(target)


def _refuse_bytes(body: bytes, error: Exception) -> Never:
    try:
        body.decode()
    except UnicodeDecodeError as fault:
        raise MalformedJson(f"the body is not valid UTF-8: {fault.reason} at byte {fault.start}") from error
    raise MalformedJson(f"the body is not valid JSON: {error}") from error
