"""Messages as OpenAI's chat completions have them, and the turns that they are."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from rag.base.chat import Detail, Image, ToolCall
from rag.base.types import Turn
from rag.serve.gateway.parts import image_from, turn_from

Ignored = Any
"""The type of members that clients are known to send and that change nothing here."""


class TextPart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str
    prompt_cache_breakpoint: Ignored = None


class RefusalPart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"):
    """What an earlier answer said in place of an answer."""

    refusal: str


class ImageUrl(Struct, frozen=True, forbid_unknown_fields=True):
    """An https address, or a data URL with the picture itself."""

    url: str
    detail: Detail = "auto"


class ImagePart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrl
    prompt_cache_breakpoint: Ignored = None


class CalledFunction(Struct, frozen=True, forbid_unknown_fields=True):
    """The function of an earlier call. `arguments` is JSON in a string."""

    name: str
    arguments: str
    parsed_arguments: Ignored = None


class CallBody(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="function"):
    """An earlier call of a tool."""

    id: str
    function: CalledFunction
    index: int | None = None


class SystemMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="system"):
    """Instructions."""

    content: str | list[TextPart]
    name: Ignored = None


class DeveloperMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="developer"):
    """Instructions, under their newer name."""

    content: str | list[TextPart]
    name: Ignored = None


class UserMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="user"):
    """What the user says and shows."""

    content: str | list[TextPart | ImagePart]
    name: Ignored = None


class AssistantMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    """An earlier answer, with all that came with it."""

    content: str | list[TextPart | RefusalPart] | None = None
    tool_calls: list[CallBody] | None = None
    refusal: str | None = None
    name: Ignored = None
    annotations: Ignored = None
    reasoning: Ignored = None
    reasoning_content: Ignored = None
    parsed: Ignored = None
    audio: None = None
    function_call: None = None


class ToolMessage(Struct, frozen=True, forbid_unknown_fields=True, tag_field="role", tag="tool"):
    """What a tool gave back."""

    content: str | list[TextPart]
    tool_call_id: str
    name: Ignored = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


def turn_of(message: Message, place: int) -> Turn:
    """The turn that message number `place` is. Raises InvalidInput for an image that cannot be read."""
    match message:
        case UserMessage():
            return _shown(message.content, place)
        case AssistantMessage():
            calls = tuple(
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in message.tool_calls or ()
            )
            text = _text_of(message.content or message.refusal or "")
            return Turn(role="assistant", content=text, tool_calls=calls)
        case ToolMessage():
            return Turn(role="tool", content=_text_of(message.content), tool_call_id=message.tool_call_id)
        case SystemMessage() | DeveloperMessage():
            return Turn(role="system", content=_text_of(message.content))


def _text_of(content: str | Iterable[TextPart | RefusalPart]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)


def _shown(content: str | list[TextPart | ImagePart], place: int) -> Turn:
    if isinstance(content, str):
        return Turn(role="user", content=content)
    parts: list[str | Image] = []
    for number, part in enumerate(content):
        if isinstance(part, TextPart):
            parts.append(part.text)
        else:
            pointer = f"/messages/{place}/content/{number}/image_url/url"
            parts.append(image_from(part.image_url.url, pointer, part.image_url.detail))
    return turn_from("user", parts)
