"""The body of POST /v1/chat/completions, and the prompt that it is.

What would change the answer and is not known here is refused; what is known to change nothing is taken and ignored.
"""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from cache.reply import Wish
from rag.base.chat import PLAIN, Effort, JsonSchema, OneTool, Options, ResponseFormat, Tool, ToolChoice
from rag.base.errors import InvalidInput
from rag.base.types import CacheMode, Principal, Prompt
from rag.serve.gateway.prompt import is_given, plain_prompt, schema_text
from rag.serve.openai.content import Ignored, Message, turn_of
from rag.serve.wire import CacheBody


class FunctionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A function that may be called. `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Raw = msgspec.field(default_factory=Raw)
    strict: bool | None = None


class ToolBody(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """A tool; functions are the only kind."""

    function: FunctionBody


class NamedBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a function."""

    name: str


class ChoiceBody(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """The one function that must be called."""

    function: NamedBody


class SchemaBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The form of the answer as a JSON schema."""

    name: str
    schema: Raw = msgspec.field(default_factory=Raw)
    description: str | None = None
    strict: bool | None = None


class TextFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Any text."""


class ObjectFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class SchemaFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    """JSON of a given form."""

    json_schema: SchemaBody


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`include_usage` asks for one more chunk with the tokens."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class ChatBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chat completion, as OpenAI's clients ask for it. `top_k` is not OpenAI's, and common; `cache` is as in /ask."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Literal["auto", "none", "required"] | ChoiceBody | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | ObjectFormat | SchemaFormat | None = None
    reasoning_effort: Effort | None = None
    cache: CacheMode | CacheBody | None = None
    # One value of each is served, which is the default.
    n: int | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    # They change nothing of the answer.
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    prompt_cache_options: Ignored = None
    prediction: Ignored = None


chat_bodies = msgspec.json.Decoder(ChatBody)


def prompt_of(body: ChatBody, principal: Principal) -> Prompt:
    """The prompt that the body asks to be answered. Raises InvalidInput with a pointer."""
    _check(body)
    turns = tuple(turn_of(message, place) for place, message in enumerate(body.messages))
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    return plain_prompt(principal, turns, limit, body.temperature, _options(body))


_NO_WISH = Wish()


def wish_of(body: ChatBody) -> Wish:
    """What the caller wants of what is kept."""
    if body.cache is None:
        return _NO_WISH
    wish = body.cache if isinstance(body.cache, CacheBody) else CacheBody(mode=body.cache)
    return Wish(mode=wish.mode, max_age_s=wish.max_age_s, min_similarity=wish.min_similarity, is_asked=True)


def _check(body: ChatBody) -> None:
    served: tuple[tuple[str, Any, Any], ...] = (
        ("n", body.n, 1),
        ("logprobs", body.logprobs, False),
        ("modalities", body.modalities, ["text"]),
    )
    for name, value, only in served:
        if value not in (None, only):
            raise InvalidInput(f"{name} can only be {msgspec.json.encode(only).decode()} here", pointer=f"/{name}")
    if not body.messages:
        raise InvalidInput("messages is empty: there is nothing to answer", pointer="/messages")


def _options(body: ChatBody) -> Options:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    options = Options(
        tools=tuple(_tool(tool, place) for place, tool in enumerate(body.tools or ())),
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=_format(body),
        stop=stop,
        top_p=body.top_p,
        top_k=body.top_k,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        effort=body.reasoning_effort,
    )
    return PLAIN if options == PLAIN else options


def _tool(tool: ToolBody, place: int) -> Tool:
    function = tool.function
    made = Tool(name=function.name, description=function.description or "", strict=function.strict)
    if not is_given(function.parameters):
        return made
    schema = schema_text(function.parameters, f"/tools/{place}/function/parameters")
    return msgspec.structs.replace(made, schema=schema)


def _choice(body: ChatBody) -> ToolChoice:
    if isinstance(body.tool_choice, ChoiceBody):
        return OneTool(body.tool_choice.function.name)
    return body.tool_choice or "auto"


def _format(body: ChatBody) -> ResponseFormat:
    match body.response_format:
        case SchemaFormat(form):
            return JsonSchema(
                name=form.name,
                schema=schema_text(form.schema, "/response_format/json_schema/schema"),
                description=form.description or "",
                strict=form.strict,
            )
        case ObjectFormat():
            return "json_object"
        case _:
            return "text"
