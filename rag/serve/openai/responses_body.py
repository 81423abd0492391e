"""The body of POST /v1/responses, and the prompt that it is. What is taken and what refused: as in chat completions."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rag.base.chat import PLAIN, Detail, Effort, Image, JsonSchema, OneTool, Options, ResponseFormat, Tool, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Principal, Prompt, Turn
from rag.serve.bodies import decode
from rag.serve.gateway.parts import image_from, turn_from
from rag.serve.gateway.prompt import is_given, plain_prompt, schema_text
from rag.serve.openai.content import Ignored


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """A piece of text that was said to the model."""

    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """A piece of text that the model said."""

    text: str


class Refusal(Struct, frozen=True, tag_field="type", tag="refusal"):
    """What the model said in place of an answer."""

    refusal: str


class InputImage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="input_image"):
    """A picture, by https address or as a data URL."""

    image_url: str
    detail: Detail | None = None


class MessageItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputText | OutputText | Refusal | InputImage]
    type: Literal["message"] = "message"
    id: Ignored = None
    status: Ignored = None
    phase: Ignored = None


class CallItem(Struct, frozen=True, kw_only=True):
    """A call that the model made."""

    call_id: str
    name: str
    arguments: str


class ResultItem(Struct, frozen=True, kw_only=True):
    """What a tool gave back."""

    call_id: str
    output: str | list[InputText]


class ReasoningItem(Struct, frozen=True):
    """Earlier thoughts, which are left out: no model is asked to go on with them."""


_ITEMS: dict[str, Any] = {
    "message": MessageItem,
    "function_call": CallItem,
    "function_call_output": ResultItem,
    "reasoning": ReasoningItem,
}


class _Kind(Struct, frozen=True):
    type: str = "message"


class FunctionTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """A function that may be called. `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Raw = msgspec.field(default_factory=Raw)
    strict: bool | None = None


class NamedTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """The one function that must be called."""

    name: str


class TextFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """Any text."""


class ObjectFormat(Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class SchemaFormat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    """JSON of a given form."""

    name: str
    schema: Raw
    description: str | None = None
    strict: bool | None = None


class TextBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The form of the answer."""

    format: TextFormat | ObjectFormat | SchemaFormat | None = None


class ReasoningBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is thought. Thoughts that a model tells are always passed on."""

    effort: Effort | None = None
    summary: Ignored = None
    generate_summary: Ignored = None


class ResponsesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A response, as OpenAI's clients ask for it. Nothing is stored here, so nothing can be gone on with."""

    model: str
    input: str | Annotated[list[Raw], Meta(min_length=1)]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    # One value of each is served, which is the default.
    background: bool | None = None
    truncation: Literal["disabled"] | None = None
    # They change nothing of the answer.
    store: Ignored = None
    metadata: Ignored = None
    include: Ignored = None
    user: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    prompt_cache_options: Ignored = None
    stream_options: Ignored = None


def prompt_of(body: ResponsesBody, principal: Principal) -> Prompt:
    """The prompt that the body asks to be answered. Raises InvalidInput with a pointer."""
    if body.background:
        raise InvalidInput("nothing is stored here, so nothing can be made in the background", pointer="/background")
    turns = [Turn(role="system", content=body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        turns.append(Turn(role="user", content=body.input))
    else:
        turns += _joined(turn for place, raw in enumerate(body.input) for turn in _turns(raw, f"/input/{place}"))
    return plain_prompt(principal, turns, body.max_output_tokens, body.temperature, _options(body))


def _turns(raw: Raw, pointer: str) -> Iterator[Turn]:
    try:
        item = decode(bytes(raw), _item_type(raw))
    except InvalidInput as error:
        raise InvalidInput(str(error), pointer=pointer + error.pointer) from error
    match item:
        case MessageItem():
            yield _said(item, pointer)
        case CallItem():
            call = ToolCall(id=item.call_id, name=item.name, arguments=item.arguments)
            yield Turn(role="assistant", content="", tool_calls=(call,))
        case ResultItem():
            text = item.output if isinstance(item.output, str) else "\n\n".join(part.text for part in item.output)
            yield Turn(role="tool", content=text, tool_call_id=item.call_id)


def _item_type(raw: Raw) -> Any:
    """The type of an item, which has to be looked for: a message need not say that it is one."""
    kind = decode(bytes(raw), _Kind).type
    if kind not in _ITEMS:
        raise InvalidInput(f"items of the type '{kind[:50]}' are not served here", pointer="/type")
    return _ITEMS[kind]


def _joined(turns: Iterator[Turn]) -> Iterator[Turn]:
    """The calls of one answer in one turn with its text: other APIs want their results right behind them all."""
    held: Turn | None = None
    for turn in turns:
        if held and turn.role == "assistant" and turn.tool_calls:
            held = msgspec.structs.replace(held, tool_calls=held.tool_calls + turn.tool_calls)
            continue
        if held:
            yield held
        held = turn if turn.role == "assistant" else None
        if held is None:
            yield turn
    if held:
        yield held


def _said(item: MessageItem, pointer: str) -> Turn:
    role = "system" if item.role == "developer" else item.role
    if isinstance(item.content, str):
        return Turn(role=role, content=item.content)
    parts: list[str | Image] = []
    for number, part in enumerate(item.content):
        match part:
            case InputImage():
                place = f"{pointer}/content/{number}/image_url"
                parts.append(image_from(part.image_url, place, part.detail or "auto"))
            case Refusal():
                parts.append(part.refusal)
            case _:
                parts.append(part.text)
    return turn_from(role, parts)


def _options(body: ResponsesBody) -> Options:
    choice = body.tool_choice
    options = Options(
        tools=tuple(_tool(tool, place) for place, tool in enumerate(body.tools or ())),
        tool_choice=OneTool(choice.name) if isinstance(choice, NamedTool) else choice or "auto",
        parallel_tool_calls=body.parallel_tool_calls,
        response_format=_format(body),
        top_p=body.top_p,
        effort=body.reasoning.effort if body.reasoning else None,
    )
    return PLAIN if options == PLAIN else options


def _tool(tool: FunctionTool, place: int) -> Tool:
    made = Tool(name=tool.name, description=tool.description or "", strict=tool.strict)
    if not is_given(tool.parameters):
        return made
    return msgspec.structs.replace(made, schema=schema_text(tool.parameters, f"/tools/{place}/parameters"))


def _format(body: ResponsesBody) -> ResponseFormat:
    match body.text.format if body.text else None:
        case SchemaFormat() as form:
            schema = schema_text(form.schema, "/text/format/schema")
            return JsonSchema(name=form.name, schema=schema, description=form.description or "", strict=form.strict)
        case ObjectFormat():
            return "json_object"
        case _:
            return "text"
