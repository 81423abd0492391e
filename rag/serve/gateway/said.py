"""A whole answer, put together from what was said."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, cast

from msgspec import Struct

from rag.base.answers import Answered, Citation, Recall, SourcesFound
from rag.base.chat import ReasoningDelta, ToolCall, ToolCallDelta
from rag.base.errors import BadDependency
from rag.base.types import Finished, TextDelta, Usage
from rag.serve.gateway.talk import TalkEvent


class Cite(Struct, frozen=True):
    """A citation and where its marker stands in the text, in characters."""

    citation: Citation
    start: int
    stop: int


class Said(Struct, frozen=True, kw_only=True):
    """The answer; `cache` is None where nobody looked whether it is kept."""

    text: str
    reasoning: str
    calls: tuple[ToolCall, ...]
    citations: tuple[Citation, ...]
    degraded: tuple[str, ...]
    usage: Usage
    finished: Finished
    cache: Recall | None


async def whole(events: AsyncIterator[TalkEvent]) -> Said:
    """All that is said. Raises BadDependency for what stops without an end, and what the events raise."""
    texts: list[str] = []
    thoughts: list[str] = []
    pieces: list[ToolCallDelta] = []
    citations: tuple[Citation, ...] = ()
    degraded: tuple[str, ...] = ()
    usage = Usage(input_tokens=0, output_tokens=0)
    cache: Recall | None = None
    finished: Finished | None = None
    async with aclosing(cast("Any", events)):  # every stream of events is a generator
        async for event in events:
            match event:
                case TextDelta():
                    texts.append(event.text)
                case ReasoningDelta():
                    thoughts.append(event.text)
                case ToolCallDelta():
                    pieces.append(event)
                case Usage():
                    usage = event
                case SourcesFound():
                    cache = event.cache
                case Answered():
                    citations, degraded = event.answer.citations, event.answer.degraded
                case Finished():
                    finished = event  # and read to the end: leaving early is dearer
    if finished is None:
        raise BadDependency("the answer was cut off before its end")
    return Said(
        text="".join(texts),
        reasoning="".join(thoughts),
        calls=joined(pieces),
        citations=citations,
        degraded=degraded,
        usage=usage,
        finished=finished,
        cache=cache,
    )


def joined(pieces: Sequence[ToolCallDelta]) -> tuple[ToolCall, ...]:
    """The calls that the pieces make, by their number."""
    names: dict[int, tuple[str, str]] = {}
    arguments: dict[int, list[str]] = {}
    for piece in pieces:
        names.setdefault(piece.index, (piece.id, piece.name))
        arguments.setdefault(piece.index, []).append(piece.arguments)
    return tuple(
        ToolCall(id=names[index][0], name=names[index][1], arguments="".join(arguments[index]) or "{}")
        for index in sorted(names)
    )


def cites(text: str, citations: Sequence[Citation]) -> Iterator[Cite]:
    """Each citation with the place of its marker; they come in the order of the text."""
    at = 0
    for citation in citations:
        marker = f"[{citation.marker}]"
        start = text.find(marker, at)
        if start >= 0:
            at = start + len(marker)
            yield Cite(citation, start, at)
