"""Texts and lists of documents in a span: at most `MAX_DOCUMENTS`, each cut at `MAX_TEXT_CHARS`."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from rag.base.types import Candidate, Turn
from rag.telemetry.spans import Attribute, Attributes, Reveal

MAX_DOCUMENTS: Final = 20
MAX_TEXT_CHARS: Final = 2_000


def messages(turns: Iterable[Turn], answer: str, reveal: Reveal) -> Attributes:
    """What a model was told and what it wrote, in both conventions."""
    asked = [(turn.role, shown(turn.content, reveal)) for turn in turns]
    written = shown(answer, reveal)
    known: dict[str, Attribute] = {
        "gen_ai.input.messages": _parts(asked),
        "gen_ai.output.messages": _parts([("assistant", written)]),
    }
    for side, turns_of_side in (("input", asked), ("output", [("assistant", written)])):
        for at, (role, content) in enumerate(turns_of_side):
            known[f"llm.{side}_messages.{at}.message.role"] = role
            known[f"llm.{side}_messages.{at}.message.content"] = content
    return {**known, **input_of(asked[-1][1] if asked else "", str), **output_of(written, str)}


def _parts(messages: Iterable[tuple[str, str]]) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in messages])


def documents(prefix: str, candidates: Sequence[Candidate], reveal: Reveal | None) -> Attributes:
    """Passages in their order, below `prefix`."""
    known: dict[str, Attribute] = {}
    for at, candidate in enumerate(candidates[:MAX_DOCUMENTS]):
        passage, place = candidate.passage, f"{prefix}.{at}.document"
        known[f"{place}.id"] = passage.chunk.id
        known[f"{place}.score"] = candidate.score
        if reveal:
            known[f"{place}.content"] = shown(passage.chunk.text, reveal)
            known[f"{place}.metadata"] = json.dumps({"uri": passage.uri, "title": passage.title})
    return known


def input_of(text: str, reveal: Reveal) -> Attributes:
    """What went into a step."""
    return {"input.value": shown(text, reveal), "input.mime_type": "text/plain"}


def output_of(text: str, reveal: Reveal) -> Attributes:
    """What came out of a step."""
    return {"output.value": shown(text, reveal), "output.mime_type": "text/plain"}


def shown(text: str, reveal: Reveal) -> str:
    """Redacted before it is cut, so that no half of a number is left over."""
    return reveal(text)[:MAX_TEXT_CHARS]
