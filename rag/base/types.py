"""The types that travel between rooms. All are immutable; a change is a new value.

Wire formats have structs of their own beside their adapters; nothing here knows how it is serialised.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from rag.base.chat import PLAIN, Image, Options, ReasoningDelta, ToolCall, ToolCallDelta
from rag.base.deadline import Deadline
from rag.base.pages import Pages

Scalar = str | int | float | bool
Metadata = Mapping[str, Scalar | Sequence[str]]
Scope = Literal["read", "write", "metrics", "admin", "operator"]
Role = Literal["query", "passage"]
Lane = Literal["interactive", "bulk"]
Origin = Literal["dense", "bm25", "fused", "rerank", "blend"]
Speaker = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["stop", "length", "content_filter", "insufficient_evidence", "tool_calls"]
CacheMode = Literal["use", "read", "write", "refresh", "off"]
EVERYONE = "everyone"
"""The grant that every principal of a tenant holds."""


class Principal(Struct, frozen=True, kw_only=True):
    """Who is asking, as the door authenticated them, and with which key ("" where none is needed)."""

    subject: str
    tenant: str
    groups: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset({"read"})
    key_id: str = ""


class Access(Struct, frozen=True, kw_only=True):
    """What a caller may touch: the documents of `tenant` whose acl holds one of `grants`.

    `grants=None` is every document of the tenant and is for those who maintain it (ingestion). Build one with
    `rag.govern.access`; every store call requires one, so none can be forgotten.
    """

    tenant: str
    grants: frozenset[str] | None


class Match(Struct, frozen=True, kw_only=True, tag="match"):
    """The field equals one of `any_of` (for a list field: holds one of them)."""

    field: str
    any_of: tuple[Scalar, ...]
    negated: bool = False


class Range(Struct, frozen=True, kw_only=True, tag="range"):
    """The numeric or datetime field lies within the given bounds; absent bounds are open."""

    field: str
    gt: float | datetime | None = None
    gte: float | datetime | None = None
    lt: float | datetime | None = None
    lte: float | datetime | None = None


Condition = Match | Range
Filters = tuple[Condition, ...]
"""All conditions must hold. Every field is known: `rag.index.filters` refused the others."""


class Work(Struct, frozen=True, kw_only=True):
    """How a piece of work is to be scheduled: for whom, how urgent, until when."""

    tenant: str
    deadline: Deadline
    lane: Lane = "interactive"
    is_alone: bool = False
    """Nothing else is being searched for, so that a short run on the event loop keeps nobody waiting."""


class Document(Struct, frozen=True, kw_only=True):
    """One parsed document. `version` is the hash of all that is indexed of it; `source`, where it was read, is not."""

    id: str
    tenant: str
    uri: str
    title: str
    text: str
    version: str
    content_hash: str
    updated_at: datetime
    acl: tuple[str, ...] = (EVERYONE,)
    format: str = "text"
    metadata: Metadata = {}
    source: str = ""
    pages: Pages = ()


class Chunk(Struct, frozen=True, kw_only=True):
    """A slice of a document: `text == document.text[start:stop]`, offsets in characters."""

    id: str
    document_id: str
    ordinal: int
    text: str
    start: int
    stop: int
    n_tokens: int
    headings: tuple[str, ...] = ()
    pages: Pages = ()


class DocumentRecord(Struct, frozen=True, kw_only=True):
    """What the store remembers of a document besides its chunks. Texts that are alike have one of `bands` in common."""

    id: str
    tenant: str
    uri: str
    title: str
    version: str
    content_hash: str
    updated_at: datetime
    acl: tuple[str, ...]
    format: str
    n_chunks: int
    n_chars: int
    duplicate_of: str | None = None
    near_duplicate_of: str | None = None
    metadata: Metadata = {}
    bands: tuple[str, ...] = ()


class Passage(Struct, frozen=True, kw_only=True):
    """A chunk as it comes back from a store, with what a reader needs to know of its document."""

    chunk: Chunk
    uri: str
    title: str
    version: str
    format: str
    updated_at: datetime
    metadata: Metadata = {}


class LegScore(Struct, frozen=True, kw_only=True):
    """A score with its origin; `rank` starts at 1. Scores of different origins are never compared."""

    origin: Origin
    score: float
    rank: int


class Candidate(Struct, frozen=True, kw_only=True):
    """A passage in the running. `origin` says what `score` means; `legs` is how it came to be here.

    `vector` is the passage's own, of unit length, where the search asked for it.
    """

    passage: Passage
    score: float
    origin: Origin
    legs: tuple[LegScore, ...] = ()
    vector: tuple[float, ...] = ()


class Turn(Struct, frozen=True, kw_only=True):
    """One message of a conversation.

    An assistant may have made `tool_calls`; a turn of the role "tool" is the result of the one named `tool_call_id`,
    or, with `is_failure`, tells why there is none.
    """

    role: Speaker
    content: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    is_failure: bool = False


class Query(Struct, frozen=True, kw_only=True):
    """One question, as the door accepted it."""

    text: str
    principal: Principal
    request_id: str
    top_k: int = 5
    filters: Filters = ()
    history: tuple[Turn, ...] = ()
    model: str | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    cache: CacheMode = "use"
    cache_max_age_s: float | None = None
    cache_min_similarity: float | None = None


class Source(Struct, frozen=True, kw_only=True):
    """One numbered entry of the context: neighbouring chunks of a document, merged.

    `text == document.text[start:stop]`; `candidates` are the ones merged into it, best first.
    """

    marker: int
    document_id: str
    uri: str
    title: str
    text: str
    start: int
    stop: int
    n_tokens: int
    headings: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    page: int | None = None


class Prompt(Struct, frozen=True, kw_only=True):
    """What a chat model is asked. `question` and `sources` are the same content, for models that read structure.

    Shared backends share fairly by `tenant`; the key `key_id` pays. `max_tokens` or `temperature` None leaves it to the
    provider; /ask always says.
    """

    tenant: str
    messages: tuple[Turn, ...]
    template: str
    n_tokens: int
    question: str
    sources: tuple[Source, ...]
    max_tokens: int | None
    temperature: float | None
    options: Options = PLAIN
    key_id: str = ""


class TextDelta(Struct, frozen=True, kw_only=True, tag="text"):
    """The next piece of the answer's text."""

    text: str


class Usage(Struct, frozen=True, kw_only=True, tag="usage"):
    """Tokens of one model call; `estimated` when the provider did not say.

    `input_tokens` is all of the prompt: what was read from the provider's cache (`cached_tokens`) and what was written
    to it (`cache_write_tokens`) are parts of it, as `reasoning_tokens` are of `output_tokens`.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


HISTORY_DETAILS: Final = "history_details"
HISTORY_SUMMARY: Final = "history_summary"


class Finished(Struct, frozen=True, kw_only=True, tag="finished"):
    """The last event of every model stream that ended well. `confidence` in 0..1 where the model knows one.

    `dropped` names the wishes of the prompt that this provider has no place for and that were left out; and of a long
    conversation "history" that was cut off, its details where a summary stands for them, or the summary that failed.
    """

    reason: StopReason
    model: str
    confidence: float | None = None
    dropped: tuple[str, ...] = ()


ModelEvent = TextDelta | ReasoningDelta | ToolCallDelta | Usage | Finished
