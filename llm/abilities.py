"""What a prompt wishes for that a provider has no place for: refused where the answer would be another one. Pure."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from msgspec import Struct

from rag.base.chat import PLAIN, Image, JsonSchema, OneTool, Options
from rag.base.errors import InvalidInput
from rag.base.types import Prompt

Ability = Literal[
    "tools",
    "tool_choice_none",
    "parallel_tool_calls",
    "images",
    "image_urls",
    "image_detail",
    "json_object",
    "json_schema",
    "stop",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "effort",
]


class Wish(Struct, frozen=True):
    """Something a prompt asks for. `parameter` is what callers know it as, `pointer` where they wrote it."""

    ability: Ability
    parameter: str
    pointer: str


_HINTS: tuple[tuple[Ability, str], ...] = (
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("effort", "reasoning_effort"),
)
"""Wishes for how the answer is made; without them it is still an answer to what was asked."""
_IS_HINT = frozenset({"image_detail", *(ability for ability, _ in _HINTS)})


def wishes(prompt: Prompt) -> Iterator[Wish]:
    """All that the prompt asks for beyond text, length and temperature."""
    for place, turn in enumerate(prompt.messages):
        if turn.images:  # or three generators would be made of nothing, twice a request
            yield from _wishes_of_images(turn.images, f"/messages/{place}/content")
        if turn.tool_calls or turn.role == "tool":
            yield Wish("tools", "tools", f"/messages/{place}")
    if prompt.options is not PLAIN:
        yield from _wishes_of(prompt.options)


def needs(prompt: Prompt) -> frozenset[Ability]:
    """What a provider has to be able to do, for the answer to be one to this prompt."""
    return frozenset(wish.ability for wish in wishes(prompt) if wish.ability not in _IS_HINT)


def left_out(prompt: Prompt, lacks: AbstractSet[Ability], target: str) -> tuple[str, ...]:
    """The parameters that a provider lacking these abilities will not see, each once.

    Raises InvalidInput where leaving it out would change what is answered, and for a tool that must be called and is
    not offered.
    """
    dropped: dict[str, None] = {}
    for wish in wishes(prompt):
        if wish.ability in lacks:
            if wish.ability not in _IS_HINT:
                raise InvalidInput(
                    f"{target} cannot do this: {wish.parameter}; leave it out or ask another model",
                    pointer=wish.pointer,
                )
            dropped[wish.parameter] = None
    choice = prompt.options.tool_choice
    if isinstance(choice, OneTool) and choice.name not in {tool.name for tool in prompt.options.tools}:
        raise InvalidInput("tool_choice names a tool that is not among the tools", pointer="/tool_choice")
    return tuple(dropped)


def _wishes_of_images(images: Sequence[Image], pointer: str) -> Iterator[Wish]:
    yield Wish("images", "images", pointer)
    if any(image.url for image in images):
        yield Wish("image_urls", "image URLs", pointer)
    if any(image.detail != "auto" for image in images):
        yield Wish("image_detail", "image detail", pointer)


def _wishes_of(options: Options) -> Iterator[Wish]:
    if options.tools:
        yield Wish("tools", "tools", "/tools")
    if options.tools and options.tool_choice == "none":
        yield Wish("tool_choice_none", "tool_choice none", "/tool_choice")
    if isinstance(options.response_format, JsonSchema):
        yield Wish("json_schema", "response_format json_schema", "/response_format")
    if options.response_format == "json_object":
        yield Wish("json_object", "response_format json_object", "/response_format")
    if options.stop:
        yield Wish("stop", "stop", "/stop")
    for ability, parameter in _HINTS:
        if getattr(options, ability) is not None:
            yield Wish(ability, parameter, f"/{parameter}")
