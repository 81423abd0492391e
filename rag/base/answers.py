"""What an answer is, and the events it arrives in."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from rag.base.types import Candidate, Source, StopReason, TextDelta, Usage

CacheStatus = Literal["hit", "miss", "bypass", "off"]
CacheTier = Literal["exact", "semantic"]


class Citation(Struct, frozen=True, kw_only=True):
    """A claim's support: `quote == document.text[start:stop]`. `verified`: the quote carries the claim literally."""

    marker: int
    chunk_id: str
    document_id: str
    uri: str
    title: str
    start: int
    stop: int
    quote: str
    verified: bool
    page: int | None = None


class Lineage(Struct, frozen=True, kw_only=True):
    """What made an answer, so that it can be made again."""

    index: str
    embedder: str
    reranker: str
    model: str
    template: str


class Recall(Struct, frozen=True, kw_only=True):
    """What the answer cache had to do with an answer; on a miss, what is known of the nearest and `rejected_by` what.

    A "bypass" was not looked up by a rule that `rejected_by` names, "off" because the caller said so.

    `question` is the kept one where it was worded otherwise; `saved_*` is what making the answer cost, where known.
    """

    status: CacheStatus = "off"
    tier: CacheTier | None = None
    age_s: float | None = None
    similarity: float | None = None
    rejected_by: str | None = None
    question: str | None = None
    saved_s: float | None = None
    saved_usd: float | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """The finished answer.

    `degraded` names every stage that did less than it was asked to; `candidates` is all that search found for it,
    whether or not it became a source.
    """

    text: str
    citations: tuple[Citation, ...]
    sources: tuple[Source, ...]
    usage: Usage
    lineage: Lineage
    stop_reason: StopReason
    confidence: float | None = None
    degraded: tuple[str, ...] = ()
    cache: Recall = Recall()
    stages_s: Mapping[str, float] = {}
    candidates: tuple[Candidate, ...] = ()


class SourcesFound(Struct, frozen=True, kw_only=True, tag="sources"):
    """The context the answer will be written from; the first event of every answer. `cache` says where that is from."""

    sources: tuple[Source, ...]
    cache: Recall = Recall()


class Cited(Struct, frozen=True, kw_only=True, tag="citation"):
    """A citation, as soon as its sentence is complete."""

    citation: Citation


class Answered(Struct, frozen=True, kw_only=True, tag="answered"):
    """The last event of every answer."""

    answer: Answer


AnswerEvent = SourcesFound | TextDelta | Cited | Usage | Answered
