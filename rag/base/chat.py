"""What a conversation with a model holds beside its text: images, tools, and how the answer is to be made."""

from typing import Literal

from msgspec import Struct

JsonText = bytes
"""A JSON value as its sender wrote it. A schema means nothing to us: it is carried, not read."""

Detail = Literal["auto", "low", "high"]
"""How closely a model looks at an image, and how many tokens that costs."""
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Image(Struct, frozen=True, kw_only=True):
    """A picture that stands behind the first `at` characters of its turn: an https `url`, or base64 `data`."""

    at: int = 0
    url: str = ""
    media_type: str = ""
    data: str = ""
    detail: Detail = "auto"


class ToolCall(Struct, frozen=True, kw_only=True):
    """What a model asked for. `arguments` is its JSON as the model wrote it, which need not be valid."""

    id: str
    name: str
    arguments: str = "{}"


class Tool(Struct, frozen=True, kw_only=True):
    """A function that the model may ask for. `schema` describes its arguments; `strict` makes them follow it."""

    name: str
    description: str = ""
    schema: JsonText = b'{"type":"object","properties":{}}'
    strict: bool | None = None


class OneTool(Struct, frozen=True):
    """The choice of the one tool that must be called."""

    name: str


class JsonSchema(Struct, frozen=True, kw_only=True):
    """The form of the answer. `strict`: the provider is to enforce it, not only to show it to the model."""

    name: str
    schema: JsonText
    description: str = ""
    strict: bool | None = None


ToolChoice = Literal["auto", "none", "required"] | OneTool
ResponseFormat = Literal["text", "json_object"] | JsonSchema


class Options(Struct, frozen=True, kw_only=True):
    """How a model is to answer, beyond length and temperature; None leaves it to the provider."""

    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat = "text"
    stop: tuple[str, ...] = ()
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    effort: Effort | None = None


PLAIN = Options()
"""What asks for nothing."""


class ReasoningDelta(Struct, frozen=True, kw_only=True, tag="reasoning"):
    """The next piece of what the model thinks aloud; no part of the answer."""

    text: str


class ToolCallDelta(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The next piece of the call number `index`, from 0: the first brings id and name, all bring `arguments`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
