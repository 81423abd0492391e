"""The shapes of the HTTP interface, and how domain values take them. OpenAPI shows the bounds that the types state."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rag.base.answers import Answer, CacheStatus, CacheTier
from rag.base.pages import page_at
from rag.base.template import Reference
from rag.base.types import CacheMode, Candidate, Origin, Source, StopReason
from rag.govern import limits

T = TypeVar("T")

# Wider than what `parse_filters` accepts, which points at the faulty member where msgspec can only name the mapping.
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
FilterScalar = str | Int64 | float | bool | None
FilterValue = FilterScalar | list[FilterScalar] | dict[str, FilterScalar | list[FilterScalar]]
RawFilters = Annotated[
    dict[str, FilterValue],
    Meta(
        max_length=limits.MAX_FILTERS,
        description="Field name to a value, a list of values (any of them), or an object of operators.",
        examples=[{"format": "pdf", "updated_at": {"gte": "2026-01-01"}}],
    ),
]
Question = Annotated[
    str,
    Meta(min_length=1, max_length=limits.MAX_QUESTION_CHARS, pattern=r"\S", examples=["How long may a refund take?"]),
]
TopK = Annotated[int, Meta(ge=1, le=limits.MAX_TOP_K, description="How many passages may be used.")]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body: what it does not name, it refuses."""


class TurnBody(Body, frozen=True):
    """One earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Meta(max_length=limits.MAX_TURN_CHARS)]


class CacheBody(Body, frozen=True):
    """What the caller asks of the answer cache; it can only be made stricter than the server's settings.

    `use` takes kept answers and keeps new ones, `read` keeps nothing, `write` takes nothing, `refresh` also forgets
    what was kept, `off` has nothing to do with it. `max_age_s` and `min_similarity` bound what is taken.
    """

    mode: CacheMode = "use"
    max_age_s: Annotated[float, Meta(ge=0)] | None = None
    min_similarity: Annotated[float, Meta(ge=0, le=1)] | None = None


class AskBody(Body, frozen=True):
    """A question. `stream` wins over the Accept header; without either the answer is one JSON object."""

    question: Question
    filters: RawFilters = {}
    top_k: TopK = 5
    history: Annotated[list[TurnBody], Meta(max_length=limits.MAX_HISTORY_TURNS)] = []
    stream: bool | None = None
    explain: bool = False
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    prompt: Reference | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=limits.MAX_ANSWER_TOKENS)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    cache: CacheMode | CacheBody = "use"


class SearchBody(Body, frozen=True):
    """A search without an answer. `rerank: false` gives the fused order."""

    query: Question
    filters: RawFilters = {}
    top_k: TopK = 10
    rerank: bool = True


class SourceBody(Struct, frozen=True, kw_only=True):
    """A numbered passage that the answer was written from; `start` and `stop` are characters of the document's text."""

    marker: int
    document_id: str
    uri: str
    title: str
    text: str
    page: int | None
    start: int
    stop: int
    n_tokens: int
    headings: tuple[str, ...]


class CitationBody(Struct, frozen=True, kw_only=True):
    """What supports a claim. `verified`: the quote carries the claim literally."""

    marker: int
    chunk_id: str
    document_id: str
    uri: str
    title: str
    page: int | None
    start: int
    stop: int
    quote: str
    verified: bool


class LegBody(Struct, frozen=True, kw_only=True):
    """How one leg of the search scored a passage; scores of different origins are not comparable."""

    origin: Origin
    score: float
    rank: int


class CandidateBody(Struct, frozen=True, kw_only=True):
    """A passage that was found, with every score it was given on its way."""

    chunk_id: str
    document_id: str
    uri: str
    title: str
    format: str
    updated_at: datetime
    headings: tuple[str, ...]
    text: str
    page: int | None
    start: int
    stop: int
    score: float
    origin: Origin
    legs: tuple[LegBody, ...]


class UsageBody(Struct, frozen=True, kw_only=True):
    """Tokens of the model call."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class LineageBody(Struct, frozen=True, kw_only=True):
    """What made the answer."""

    index: str
    embedder: str
    reranker: str
    model: str
    template: str


class RecallBody(Struct, frozen=True, kw_only=True):
    """What the answer cache had to do with the answer; `rejected_by` says why a near one was not served."""

    status: CacheStatus
    tier: CacheTier | None
    age_s: float | None
    similarity: float | None
    rejected_by: str | None
    question: str | None
    saved_s: float | None
    saved_usd: float | None


class AnswerBody(Struct, frozen=True, kw_only=True):
    """The answer. `degraded` names stages that did less than asked; `candidates` is there when `explain` was set."""

    id: str
    answer: str
    stop_reason: StopReason
    citations: tuple[CitationBody, ...]
    sources: tuple[SourceBody, ...]
    usage: UsageBody
    lineage: LineageBody
    confidence: float | None
    degraded: tuple[str, ...]
    cache: RecallBody
    stages_s: Mapping[str, float]
    candidates: tuple[CandidateBody, ...] | UnsetType = UNSET


class SearchResultBody(Struct, frozen=True, kw_only=True):
    """What was found, best first."""

    id: str
    results: tuple[CandidateBody, ...]
    degraded: tuple[str, ...]
    stages_s: Mapping[str, float]


def answer_body(answer: Answer, request_id: str, *, explain: bool) -> AnswerBody:
    """The answer as JSON has it."""
    return AnswerBody(
        id=request_id,
        answer=answer.text,
        stop_reason=answer.stop_reason,
        citations=convert(answer.citations, tuple[CitationBody, ...]),
        sources=source_bodies(answer.sources),
        usage=convert(answer.usage, UsageBody),
        lineage=convert(answer.lineage, LineageBody),
        confidence=answer.confidence,
        degraded=answer.degraded,
        cache=convert(answer.cache, RecallBody),
        stages_s=answer.stages_s,
        candidates=candidate_bodies(answer.candidates) if explain else UNSET,
    )


def source_bodies(sources: Iterable[Source]) -> tuple[SourceBody, ...]:
    """The sources, in order."""
    return convert(tuple(sources), tuple[SourceBody, ...])


def candidate_bodies(candidates: Iterable[Candidate]) -> tuple[CandidateBody, ...]:
    """The candidates, in order."""
    return tuple(_candidate_body(candidate) for candidate in candidates)


def convert(value: object, target: type[T]) -> T:
    """A domain value whose attributes are those of `target`, as a `target`; further attributes are left out."""
    return msgspec.convert(value, target, from_attributes=True)


def _candidate_body(candidate: Candidate) -> CandidateBody:
    passage = candidate.passage
    return CandidateBody(
        chunk_id=passage.chunk.id,
        document_id=passage.chunk.document_id,
        uri=passage.uri,
        title=passage.title,
        format=passage.format,
        updated_at=passage.updated_at,
        headings=passage.chunk.headings,
        text=passage.chunk.text,
        page=page_at(passage.chunk.pages, passage.chunk.start),
        start=passage.chunk.start,
        stop=passage.chunk.stop,
        score=candidate.score,
        origin=candidate.origin,
        legs=convert(candidate.legs, tuple[LegBody, ...]),
    )
