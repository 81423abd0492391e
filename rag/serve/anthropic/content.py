"""Messages as Anthropic has them, in content blocks, and the turns that they are."""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Raw, Struct

from rag.base.chat import Image, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Speaker, Turn
from rag.serve.gateway.parts import image_from, turn_from

Ignored = Any
"""The type of members that clients are known to send and that change nothing here."""


class Text(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str
    cache_control: Ignored = None
    citations: Ignored = None


class Base64Source(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="base64"):
    """The picture itself."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="url"):
    """An https address."""

    url: str


class ImageBlock(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image"):
    """A picture."""

    source: Base64Source | UrlSource
    cache_control: Ignored = None


class ToolUse(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tool_use"):
    """An earlier call of a tool."""

    id: str
    name: str
    input: Raw
    cache_control: Ignored = None
    caller: Ignored = None
    toolset_name: Ignored = None


class ToolResult(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="tool_result"):
    """What a tool gave back."""

    tool_use_id: str
    content: str | list[Text] = ""
    is_error: bool = False
    cache_control: Ignored = None
    toolset_name: Ignored = None


class Thinking(Struct, frozen=True, tag_field="type", tag="thinking"):
    """Earlier thoughts, which are left out: no model is asked to go on with them."""


class RedactedThinking(Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """As `Thinking`."""


Block = Text | ImageBlock | ToolUse | ToolResult | Thinking | RedactedThinking


class MessageBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What one side said."""

    role: Literal["user", "assistant"]
    content: str | list[Block]


def turns_of(message: MessageBody, place: int) -> Iterator[Turn]:
    """The turns that message number `place` is: each result of a tool is one of its own, before what else is said.

    Raises InvalidInput for an image that cannot be read.
    """
    if isinstance(message.content, str):
        yield Turn(role=message.role, content=message.content)
        return
    parts: list[str | Image] = []
    calls: list[ToolCall] = []
    for number, block in enumerate(message.content):
        match block:
            case Text():
                parts.append(block.text)
            case ImageBlock():
                parts.append(_image(block, f"/messages/{place}/content/{number}/source"))
            case ToolUse():
                calls.append(ToolCall(id=block.id, name=block.name, arguments=bytes(block.input).decode()))
            case ToolResult():
                yield _result(block)
            case _:  # thoughts
                pass
    if parts or calls:
        yield _said(message.role, parts, calls, place)


def text_of(content: str | list[Text]) -> str:
    """All of the text."""
    return content if isinstance(content, str) else "\n\n".join(part.text for part in content)


def _said(role: Speaker, parts: list[str | Image], calls: list[ToolCall], place: int) -> Turn:
    turn = turn_from(role, parts)
    if role == "assistant" and turn.images:
        raise InvalidInput("an assistant shows no images", pointer=f"/messages/{place}/content")
    return Turn(role=role, content=turn.content, images=turn.images, tool_calls=tuple(calls))


def _image(block: ImageBlock, pointer: str) -> Image:
    source = block.source
    if isinstance(source, UrlSource):
        return image_from(source.url, pointer)
    return image_from(f"data:{source.media_type};base64,{source.data}", pointer)


def _result(block: ToolResult) -> Turn:
    return Turn(role="tool", content=text_of(block.content), tool_call_id=block.tool_use_id, is_failure=block.is_error)
