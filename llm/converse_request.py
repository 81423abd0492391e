"""What is sent to Amazon Bedrock's ConverseStream."""

import msgspec
from msgspec import Raw, Struct

from llm.dialect import Dialect
from llm.turns import Part, ToolResult, arguments_of, instructions_and_exchanges, portable
from rag.base.chat import Image, JsonSchema, OneTool, Options, ToolCall
from rag.base.types import Prompt

_EMPTY: dict[str, str] = {}


class _Bytes(Struct, frozen=True):
    bytes: str


class _Image(Struct, frozen=True):
    format: str
    source: _Bytes


class _ToolUse(Struct, frozen=True, rename="camel"):
    tool_use_id: str
    name: str
    input: Raw


class _Text(Struct, frozen=True):
    text: str


class _ToolResult(Struct, frozen=True, omit_defaults=True, rename="camel"):
    tool_use_id: str
    content: list[_Text]
    status: str | None = None


class _Block(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    text: str | None = None
    image: _Image | None = None
    tool_use: _ToolUse | None = None
    tool_result: _ToolResult | None = None


class _Turn(Struct, frozen=True):
    role: str
    content: list[_Block]


class _Inference(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] | None = None


class _Json(Struct, frozen=True):
    json: Raw


class _Spec(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    name: str
    description: str | None = None
    input_schema: _Json
    strict: bool | None = None


class _Tool(Struct, frozen=True, rename="camel"):
    tool_spec: _Spec


class _ToolConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    tools: list[_Tool]
    tool_choice: dict[str, dict[str, str]] | None = None


class _Schema(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    schema: str
    description: str | None = None


class _Structure(Struct, frozen=True, rename="camel"):
    json_schema: _Schema


class _TextFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    structure: _Structure


class _Output(Struct, frozen=True, rename="camel"):
    text_format: _TextFormat


class _Request(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    messages: list[_Turn]
    inference_config: _Inference
    system: list[_Text] | None = None
    tool_config: _ToolConfig | None = None
    output_config: _Output | None = None


_encode = msgspec.json.Encoder().encode


def converse_request(prompt: Prompt, dialect: Dialect) -> bytes:
    """The JSON that asks for a streamed answer."""
    instructions, exchanges = instructions_and_exchanges(prompt)
    options = prompt.options
    inference = _Inference(
        max_tokens=prompt.max_tokens,
        temperature=prompt.temperature if dialect.temperature else None,
        top_p=options.top_p,
        stop_sequences=options.stop or None,
    )
    return _encode(
        _Request(
            messages=[_Turn(exchange.role, [_block(part) for part in exchange.parts]) for exchange in exchanges],
            inference_config=inference,
            system=[_Text(instructions)] if instructions else None,
            tool_config=_tool_config(options),
            output_config=_output(options),
        )
    )


def _block(part: Part) -> _Block:
    match part:
        case str():
            return _Block(text=part)
        case Image():
            return _Block(image=_Image(part.media_type.rpartition("/")[2], _Bytes(part.data)))
        case ToolCall():
            return _Block(tool_use=_ToolUse(portable(part.id), part.name, arguments_of(part)))
        case ToolResult():
            status = "error" if part.is_failure else None
            return _Block(tool_result=_ToolResult(portable(part.id), [_Text(part.content)], status))


def _tool_config(options: Options) -> _ToolConfig | None:
    if not options.tools:
        return None
    tools = [
        _Tool(
            _Spec(
                name=tool.name,
                description=tool.description or None,
                input_schema=_Json(Raw(tool.schema)),
                strict=tool.strict,
            )
        )
        for tool in options.tools
    ]
    match options.tool_choice:
        case OneTool(name):
            return _ToolConfig(tools, {"tool": {"name": name}})
        case "required":
            return _ToolConfig(tools, {"any": _EMPTY})
        case _:
            return _ToolConfig(tools)


def _output(options: Options) -> _Output | None:
    form = options.response_format
    if not isinstance(form, JsonSchema):
        return None
    schema = _Schema(name=form.name, schema=form.schema.decode(), description=form.description or None)
    return _Output(_TextFormat(_Structure(schema)))
