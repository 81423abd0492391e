"""Prompts for wires that keep the instructions apart and want the two speakers in turn."""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from secrets import token_hex
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from rag.base.chat import Image, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Prompt, Turn

_PORTABLE = re.compile(r"[A-Za-z0-9_-]{1,40}")


class ToolResult(Struct, frozen=True):
    """What a tool gave back for the call `id`; `name` is the tool's, where the conversation holds the call."""

    id: str
    name: str
    content: str
    is_failure: bool = False


Part = str | Image | ToolCall | ToolResult


class Exchange(Struct, frozen=True):
    """All that one side says before the other does. Results of tools are said by the user."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str | None:
        """What is said, where it is nothing but one text."""
        only = self.parts[0]
        return only if len(self.parts) == 1 and isinstance(only, str) else None


def instructions_and_exchanges(prompt: Prompt) -> tuple[str, list[Exchange]]:
    """The system messages as one text, wherever they stood, and the conversation.

    Nothing is said twice in a row by the same speaker and nothing is empty, which Bedrock and Anthropic refuse:
    neighbouring messages of one speaker become one, and those of white space alone are left out.
    """
    instructions = "\n\n".join(
        turn.content for turn in prompt.messages if turn.role == "system" and turn.content.strip()
    )
    names = {call.id: call.name for turn in prompt.messages for call in turn.tool_calls}
    spoken = [turn for turn in prompt.messages if turn.role != "system" and _says_something(turn)]
    exchanges = [Exchange(role, tuple(_parts(list(turns), names))) for role, turns in groupby(spoken, key=_side)]
    return instructions, exchanges


def text_and_images(turn: Turn) -> Iterator[str | Image]:
    """The turn's text, cut where its images stand."""
    at = 0
    for image in turn.images:
        if turn.content[at : image.at].strip():
            yield turn.content[at : image.at]
        yield image
        at = max(at, image.at)
    if turn.content[at:].strip():
        yield turn.content[at:]


def new_call_id() -> str:
    """An id for a call that came without one."""
    return f"call_{token_hex(12)}"


def portable(call_id: str) -> str:
    """The id of a call in letters and in a length that every provider takes; the same for the same id.

    A conversation may have begun with another provider, whose ids are longer or hold other signs.
    """
    if _PORTABLE.fullmatch(call_id):
        return call_id
    return f"call_{blake2b(call_id.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def arguments_of(call: ToolCall) -> Raw:
    """The arguments of a call as the JSON object that most providers want. Raises InvalidInput for anything else."""
    text = call.arguments.strip() or "{}"
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except msgspec.DecodeError as error:
        message = f"the arguments of the call '{portable(call.id)}' in the conversation are not a JSON object"
        raise InvalidInput(message, pointer="/messages") from error
    return Raw(text.encode())


def _says_something(turn: Turn) -> bool:
    return bool(turn.role == "tool" or turn.images or turn.tool_calls or turn.content.strip())


def _side(turn: Turn) -> Literal["user", "assistant"]:
    return "assistant" if turn.role == "assistant" else "user"


def _parts(turns: Sequence[Turn], names: Mapping[str, str]) -> Iterator[Part]:
    """The parts of all these turns; neighbouring texts are one, with an empty line between them."""
    texts: list[str] = []
    for part in (part for turn in turns for part in _said(turn, names)):
        if isinstance(part, str):
            texts.append(part)
            continue
        if texts:
            yield "\n\n".join(texts)
            texts.clear()
        yield part
    if texts:
        yield "\n\n".join(texts)


def _said(turn: Turn, names: Mapping[str, str]) -> Iterator[Part]:
    if turn.role == "tool":
        yield ToolResult(turn.tool_call_id, names.get(turn.tool_call_id, ""), turn.content, turn.is_failure)
        return
    yield from text_and_images(turn)
    yield from turn.tool_calls
