"""What is sent to those who speak Anthropic's Messages."""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from llm.dialect import Dialect
from llm.turns import Exchange, Part, ToolResult, arguments_of, instructions_and_exchanges, portable
from rag.base.chat import Image, JsonSchema, OneTool, Options, ToolCall
from rag.base.types import Prompt

MAX_TEMPERATURE = 1.0  # where the scale of this API ends; that of OpenAI's ends at 2
DEFAULT_MAX_TOKENS = 4_096  # this API wants a limit, and the caller gave none

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}


class _Text(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class _Base64(Struct, frozen=True, tag_field="type", tag="base64"):
    media_type: str
    data: str


class _Url(Struct, frozen=True, tag_field="type", tag="url"):
    url: str


class _Image(Struct, frozen=True, tag_field="type", tag="image"):
    source: _Base64 | _Url


class _ToolUse(Struct, frozen=True, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: Raw


class _ToolResult(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str
    is_error: bool = False


_Block = _Text | _Image | _ToolUse | _ToolResult


class _Message(Struct, frozen=True):
    role: str
    content: str | list[_Block]


class _Tool(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    input_schema: Raw
    strict: bool | None = None


class _Choice(Struct, frozen=True, omit_defaults=True, kw_only=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Format(Struct, frozen=True, tag_field="type", tag="json_schema"):
    schema: Raw


class _Output(Struct, frozen=True, omit_defaults=True):
    format: _Format | None = None
    effort: str | None = None


class _NoThinking(Struct, frozen=True, tag_field="type", tag="disabled"):
    pass


class _Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | None = None
    temperature: float | None = None
    stream: bool
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    output_config: _Output | None = None
    thinking: _NoThinking | None = None
    stop_sequences: tuple[str, ...] | None = None
    top_p: float | None = None
    top_k: int | None = None


_encode = msgspec.json.Encoder().encode


def message_request(model: str, prompt: Prompt, dialect: Dialect) -> bytes:
    """The JSON that asks for a streamed answer. A temperature above the end of the scale is its end."""
    instructions, exchanges = instructions_and_exchanges(prompt)
    options = prompt.options
    is_warm = prompt.temperature is not None and dialect.temperature
    return _encode(
        _Request(
            model=model,
            max_tokens=prompt.max_tokens or DEFAULT_MAX_TOKENS,
            messages=[_message(exchange) for exchange in exchanges],
            stream=True,
            system=instructions or None,
            temperature=min(prompt.temperature or 0.0, MAX_TEMPERATURE) if is_warm else None,
            tools=_tools(options),
            tool_choice=_choice(options) if options.tools else None,
            output_config=_output(options),
            thinking=_NoThinking() if options.effort == "none" else None,
            stop_sequences=options.stop or None,
            top_p=options.top_p,
            top_k=options.top_k,
        )
    )


def _message(exchange: Exchange) -> _Message:
    text = exchange.text
    return _Message(exchange.role, [_block(part) for part in exchange.parts] if text is None else text)


def _block(part: Part) -> _Block:
    match part:
        case str():
            return _Text(part)
        case Image():
            return _Image(_Url(part.url) if part.url else _Base64(part.media_type, part.data))
        case ToolCall():
            return _ToolUse(portable(part.id), part.name, arguments_of(part))
        case ToolResult():
            return _ToolResult(portable(part.id), part.content, part.is_failure)


def _tools(options: Options) -> list[_Tool] | None:
    return [
        _Tool(
            name=tool.name,
            description=tool.description or None,
            input_schema=Raw(tool.schema),
            strict=tool.strict,
        )
        for tool in options.tools
    ] or None


def _choice(options: Options) -> _Choice | None:
    one_at_a_time = (options.parallel_tool_calls is False) or None
    match options.tool_choice:
        case OneTool(name):
            return _Choice(type="tool", name=name, disable_parallel_tool_use=one_at_a_time)
        case "required":
            return _Choice(type="any", disable_parallel_tool_use=one_at_a_time)
        case "none":
            return _Choice(type="none")
        case _:
            return _Choice(type="auto", disable_parallel_tool_use=True) if one_at_a_time else None


def _output(options: Options) -> _Output | None:
    form = options.response_format
    schema = _Format(Raw(form.schema)) if isinstance(form, JsonSchema) else None
    effort = _EFFORTS.get(options.effort or "")
    return None if schema is None and effort is None else _Output(schema, effort)
