"""What is sent to Google's generateContent."""

import msgspec
from msgspec import Raw, Struct

from llm.dialect import Dialect
from llm.turns import Exchange, Part, ToolResult, arguments_of, instructions_and_exchanges
from rag.base.chat import Image, JsonSchema, OneTool, Options, ToolCall
from rag.base.types import Prompt

SIGNED = "__signature__"
"""Stands in a call's id between what names it and what proves the thoughts behind it: clients keep ids and no more."""
_UNSIGNED = "skip_thought_signature_validator"  # Google's word for a call that another model made
_NEEDS_NO_SIGNATURE = ("gemini-1", "gemini-2", "gemma")


class _Blob(Struct, frozen=True, rename="camel"):
    mime_type: str
    data: str


class _FunctionCall(Struct, frozen=True):
    name: str
    args: Raw


class _FunctionResponse(Struct, frozen=True):
    name: str
    response: dict[str, str]


class _Part(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    text: str | None = None
    inline_data: _Blob | None = None
    function_call: _FunctionCall | None = None
    function_response: _FunctionResponse | None = None
    thought_signature: str | None = None


class _Content(Struct, frozen=True, omit_defaults=True):
    parts: list[_Part]
    role: str | None = None


class _Function(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    name: str
    description: str | None = None
    parameters_json_schema: Raw


class _Tool(Struct, frozen=True, rename="camel"):
    function_declarations: list[_Function]


class _Calling(Struct, frozen=True, omit_defaults=True, rename="camel"):
    mode: str
    allowed_function_names: list[str] | None = None


class _ToolConfig(Struct, frozen=True, rename="camel"):
    function_calling_config: _Calling


class _Generation(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    max_output_tokens: int | None = None
    temperature: float | None = None
    stop_sequences: tuple[str, ...] | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_json_schema: Raw | None = None


class _Request(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    contents: list[_Content]
    generation_config: _Generation
    system_instruction: _Content | None = None
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None


_encode = msgspec.json.Encoder().encode


def generate_request(model: str, prompt: Prompt, dialect: Dialect) -> bytes:
    """The JSON that asks for an answer."""
    instructions, exchanges = instructions_and_exchanges(prompt)
    wants_signatures = not model.startswith(_NEEDS_NO_SIGNATURE)
    return _encode(
        _Request(
            contents=[_content(exchange, wants_signatures=wants_signatures) for exchange in exchanges],
            generation_config=_generation(prompt, dialect),
            system_instruction=_Content([_Part(text=instructions)]) if instructions else None,
            tools=_tools(prompt.options),
            tool_config=_tool_config(prompt.options),
        )
    )


def _content(exchange: Exchange, *, wants_signatures: bool) -> _Content:
    parts = [_part(part, wants_signatures=wants_signatures) for part in exchange.parts]
    return _Content(parts, "model" if exchange.role == "assistant" else "user")


def _part(part: Part, *, wants_signatures: bool) -> _Part:
    match part:
        case str():
            return _Part(text=part)
        case Image():
            return _Part(inline_data=_Blob(part.media_type, part.data))
        case ToolCall():
            _, _, signature = part.id.partition(SIGNED)
            signature = signature or (_UNSIGNED if wants_signatures else "")
            call = _FunctionCall(part.name, arguments_of(part))
            return _Part(function_call=call, thought_signature=signature or None)
        case ToolResult():
            return _Part(
                function_response=_FunctionResponse(part.name, {"error" if part.is_failure else "result": part.content})
            )


def _generation(prompt: Prompt, dialect: Dialect) -> _Generation:
    options = prompt.options
    form = options.response_format
    return _Generation(
        max_output_tokens=prompt.max_tokens,
        temperature=prompt.temperature if dialect.temperature else None,
        stop_sequences=options.stop or None,
        top_p=options.top_p,
        top_k=options.top_k,
        seed=options.seed,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        response_mime_type=None if form == "text" else "application/json",
        response_json_schema=Raw(form.schema) if isinstance(form, JsonSchema) else None,
    )


def _tools(options: Options) -> list[_Tool] | None:
    functions = [
        _Function(name=tool.name, description=tool.description or None, parameters_json_schema=Raw(tool.schema))
        for tool in options.tools
    ]
    return [_Tool(functions)] if functions else None


def _tool_config(options: Options) -> _ToolConfig | None:
    if not options.tools:
        return None
    match options.tool_choice:
        case OneTool(name):
            return _ToolConfig(_Calling("ANY", [name]))
        case "required":
            return _ToolConfig(_Calling("ANY"))
        case "none":
            return _ToolConfig(_Calling("NONE"))
        case _:
            return None
