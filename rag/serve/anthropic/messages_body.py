"""The body of POST /v1/messages, and the prompt that it is. What is taken and what refused: as in OpenAI's."""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from llm.usage import prompt_tokens
from rag.base.chat import PLAIN, Effort, JsonSchema, OneTool, Options, ResponseFormat, Tool, ToolChoice
from rag.base.errors import InvalidInput
from rag.base.types import Principal, Prompt, Turn
from rag.serve.anthropic.content import Ignored, MessageBody, Text, text_of, turns_of
from rag.serve.gateway.prompt import plain_prompt, schema_text

SOME_THINKING_TOKENS, MUCH_THINKING_TOKENS = 4_096, 16_384
"""Up to the first the effort is low, up to the second medium: providers know words where this API has a number."""


class ToolBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool of the caller's own. `input_schema` is a JSON schema."""

    name: str
    input_schema: Raw
    description: str | None = None
    strict: bool | None = None
    type: Literal["custom"] | None = None
    cache_control: Ignored = None
    eager_input_streaming: Ignored = None


class Auto(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="auto"):
    """The model chooses whether to call a tool."""

    disable_parallel_tool_use: bool = False


class AnyTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="any"):
    """The model must call some tool."""

    disable_parallel_tool_use: bool = False


class ThisTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tool"):
    """The model must call this tool."""

    name: str
    disable_parallel_tool_use: bool = False


class NoTool(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="none"):
    """The model must call no tool."""

    disable_parallel_tool_use: bool = False


class FormatBody(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    """The form of the answer as a JSON schema."""

    schema: Raw


class OutputBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How the answer is to be made."""

    format: FormatBody | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class ThinkingOn(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="enabled"):
    """So many tokens of thought."""

    budget_tokens: int
    display: Ignored = None


class ThinkingOff(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="disabled"):
    """No thoughts."""


class ThinkingAsNeeded(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="adaptive"):
    """As many as the model needs, which is what it does when nobody says."""

    display: Ignored = None


class CountBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model would read, as Anthropic's clients have it counted."""

    model: str
    messages: Annotated[list[MessageBody], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Auto | AnyTool | ThisTool | NoTool | None = None
    output_config: OutputBody | None = None
    thinking: ThinkingOn | ThinkingOff | ThinkingAsNeeded | None = None
    # It changes nothing of the answer.
    cache_control: Ignored = None


class MessagesBody(CountBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message, as Anthropic's clients ask for it."""

    max_tokens: int
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    # They change nothing of the answer.
    metadata: Ignored = None
    service_tier: Ignored = None
    diagnostics: Ignored = None


def prompt_of(body: MessagesBody, principal: Principal) -> Prompt:
    """The prompt that the body asks to be answered. Raises InvalidInput."""
    if body.messages[-1].role == "assistant":
        raise InvalidInput(
            "an answer cannot be begun for the model here", pointer=f"/messages/{len(body.messages) - 1}"
        )
    return plain_prompt(principal, _turns(body), body.max_tokens, body.temperature, _options(body))


def n_tokens_of(body: CountBody) -> int:
    """About how many tokens a model reads of it. Raises InvalidInput."""
    return prompt_tokens(_turns(body), Options(tools=_tools(body)))


def _turns(body: CountBody) -> list[Turn]:
    turns = [turn for place, message in enumerate(body.messages) for turn in turns_of(message, place)]
    return [Turn(role="system", content=text_of(body.system)), *turns] if body.system else turns


def _options(body: MessagesBody) -> Options:
    choice = body.tool_choice
    options = Options(
        tools=_tools(body),
        tool_choice=_choice(body),
        parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
        response_format=_format(body),
        stop=tuple(body.stop_sequences or ()),
        top_p=body.top_p,
        top_k=body.top_k,
        effort=_effort(body),
    )
    return PLAIN if options == PLAIN else options


def _tools(body: CountBody) -> tuple[Tool, ...]:
    return tuple(_tool(tool, place) for place, tool in enumerate(body.tools or ()))


def _tool(tool: ToolBody, place: int) -> Tool:
    schema = schema_text(tool.input_schema, f"/tools/{place}/input_schema")
    return Tool(name=tool.name, description=tool.description or "", schema=schema, strict=tool.strict)


def _choice(body: MessagesBody) -> ToolChoice:
    match body.tool_choice:
        case ThisTool(name):
            return OneTool(name)
        case AnyTool():
            return "required"
        case NoTool():
            return "none"
        case _:
            return "auto"


def _format(body: MessagesBody) -> ResponseFormat:
    if body.output_config is None or body.output_config.format is None:
        return "text"
    schema = schema_text(body.output_config.format.schema, "/output_config/format/schema")
    return JsonSchema(name="answer", schema=schema, strict=True)


def _effort(body: MessagesBody) -> Effort | None:
    if body.output_config and body.output_config.effort:
        return body.output_config.effort
    match body.thinking:
        case ThinkingOff():
            return "none"
        case ThinkingOn(budget):
            if budget <= SOME_THINKING_TOKENS:
                return "low"
            return "medium" if budget <= MUCH_THINKING_TOKENS else "high"
        case _:
            return None
