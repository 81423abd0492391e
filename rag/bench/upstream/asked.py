"""What a request to a provider asks for: the wire by its path, the rest by its body."""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Struct

WireName = Literal["openai", "azure", "anthropic", "gemini", "bedrock"]

_GEMINI = re.compile(r"/models/([^/:]+):(stream)?[gG]enerateContent$")
_BEDROCK = re.compile(r"/model/([^/]+)/converse(-stream)?$")
_AZURE = re.compile(r"/openai/(?:deployments/([^/]+)/|v1/)chat/completions$")
_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")


class Asked(Struct, frozen=True, kw_only=True):
    """One request, as far as the answer depends on it. `sse` is False where Gemini streams a JSON array."""

    wire: WireName
    model: str
    key: str
    stream: bool
    with_usage: bool = True
    sse: bool = True
    n_bytes: int = 0
    max_tokens: int | None = None


class _StreamOptions(Struct):
    include_usage: bool = False


class _Generation(Struct, rename="camel"):
    max_output_tokens: int | None = None


class _Inference(Struct, rename="camel"):
    max_tokens: int | None = None


class _Body(Struct):
    """What the bodies of all wires have that matters here."""

    model: str = ""
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    generation: _Generation | None = msgspec.field(default=None, name="generationConfig")
    inference: _Inference | None = msgspec.field(default=None, name="inferenceConfig")


_bodies = msgspec.json.Decoder(_Body)


class NotAsked(Exception):
    """No provider would understand this: the path is of no wire, or the body is none. Its argument says why."""


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Asked:
    """What is asked. `headers` has lower-case names. Raises NotAsked."""
    path, _, query = target.partition("?")
    if method != "POST":
        raise NotAsked(f"{method} {path} is of no provider")
    try:
        given = _bodies.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAsked(f"the body is not one: {error}") from error
    common: dict[str, Any] = {"key": _key(headers, query), "n_bytes": len(body)}
    if path.endswith("/messages"):
        return Asked(wire="anthropic", model=given.model, stream=given.stream, max_tokens=given.max_tokens, **common)
    if path.endswith("/chat/completions"):
        return _chat(path, given, common)
    if match := _GEMINI.search(path):
        limit = given.generation.max_output_tokens if given.generation else None
        common |= {"sse": "alt=sse" in query, "max_tokens": limit, "stream": bool(match[2])}
        return Asked(wire="gemini", model=unquote(match[1]), **common)
    if match := _BEDROCK.search(path):
        limit = given.inference.max_tokens if given.inference else None
        return Asked(wire="bedrock", model=unquote(match[1]), stream=bool(match[2]), max_tokens=limit, **common)
    raise NotAsked(f"{path} is of no provider")


def _chat(path: str, given: _Body, common: dict[str, Any]) -> Asked:
    azure = _AZURE.search(path)
    return Asked(
        wire="azure" if azure else "openai",
        model=(azure and azure[1]) or given.model,
        stream=given.stream,
        with_usage=bool(given.stream_options and given.stream_options.include_usage),
        max_tokens=given.max_completion_tokens or given.max_tokens,
        **common,
    )


def _key(headers: Mapping[str, str], query: str) -> str:
    for name in _KEY_HEADERS:
        if name in headers:
            return headers[name]
    authorization = headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        return authorization[7:]
    if match := re.search(r"Credential=([^/,]+)", authorization):
        return match[1]
    match = re.search(r"(?:^|&)key=([^&]+)", query)
    return match[1] if match else ""
