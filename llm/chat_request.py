"""What is sent to those who speak OpenAI's chat completions."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from llm.dialect import Dialect
from llm.turns import portable, text_and_images
from rag.base.chat import Detail, Effort, Image, JsonSchema, OneTool, Options, Tool, ToolCall, ToolChoice
from rag.base.types import Prompt, Turn


class _Url(Struct, frozen=True, omit_defaults=True):
    url: str
    detail: Detail = "auto"


class _TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class _ImagePart(Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: _Url


class _Called(Struct, frozen=True):
    name: str
    arguments: str


class _Call(Struct, frozen=True, tag_field="type", tag="function"):
    id: str
    function: _Called


class _Message(Struct, frozen=True, omit_defaults=True):
    role: str
    content: str | list[_TextPart | _ImagePart] | None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Function(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: Raw | None = None
    strict: bool | None = None


class _Tool(Struct, frozen=True, tag_field="type", tag="function"):
    function: _Function


class _Schema(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    schema: Raw
    strict: bool | None = None


class _Format(Struct, frozen=True, omit_defaults=True):
    type: str
    json_schema: _Schema | None = None


class _StreamOptions(Struct, frozen=True):
    include_usage: bool = True


class _Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of `POST /chat/completions`; what is None is not sent."""

    model: str
    messages: list[_Message]
    stream: bool
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Tool | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    stop: Sequence[str] | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: Effort | None = None


_encode = msgspec.json.Encoder().encode


def request_body(model: str, prompt: Prompt, dialect: Dialect) -> bytes:
    """The JSON that asks for a streamed answer."""
    limit = prompt.max_tokens
    options = prompt.options
    return _encode(
        _Request(
            model=model,
            messages=[_message(turn) for turn in prompt.messages],
            stream=True,
            stream_options=_StreamOptions() if dialect.stream_options else None,
            max_tokens=None if dialect.max_completion_tokens else limit,
            max_completion_tokens=limit if dialect.max_completion_tokens else None,
            temperature=prompt.temperature if dialect.temperature else None,
            tools=[_tool(tool) for tool in options.tools] or None,
            tool_choice=_choice(options.tool_choice) if options.tools else None,
            parallel_tool_calls=options.parallel_tool_calls if options.tools else None,
            response_format=_format(options),
            stop=options.stop or None,
            top_p=options.top_p,
            seed=options.seed,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            reasoning_effort=options.effort,
        )
    )


def _message(turn: Turn) -> _Message:
    if turn.role == "tool":
        return _Message("tool", turn.content, tool_call_id=portable(turn.tool_call_id))
    if turn.tool_calls:
        return _Message(turn.role, turn.content or None, [_call(call) for call in turn.tool_calls])
    if turn.images:
        return _Message(turn.role, [_part(part) for part in text_and_images(turn)])
    return _Message(turn.role, turn.content)


def _part(part: str | Image) -> _TextPart | _ImagePart:
    if isinstance(part, str):
        return _TextPart(part)
    return _ImagePart(_Url(part.url or f"data:{part.media_type};base64,{part.data}", part.detail))


def _call(call: ToolCall) -> _Call:
    return _Call(portable(call.id), _Called(call.name, call.arguments))


def _tool(tool: Tool) -> _Tool:
    return _Tool(
        _Function(
            name=tool.name,
            description=tool.description or None,
            parameters=Raw(tool.schema),
            strict=tool.strict,
        )
    )


def _choice(choice: ToolChoice) -> str | _Tool | None:
    if isinstance(choice, OneTool):
        return _Tool(_Function(name=choice.name))
    return None if choice == "auto" else choice  # what is the default everywhere need not be said


def _format(options: Options) -> _Format | None:
    form = options.response_format
    if isinstance(form, JsonSchema):
        strict = form.strict
        schema = _Schema(name=form.name, description=form.description or None, schema=Raw(form.schema), strict=strict)
        return _Format("json_schema", schema)
    return None if form == "text" else _Format(form)
