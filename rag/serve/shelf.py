"""The shapes of the documents part of the HTTP interface."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

from ingest.draft import Draft
from ingest.outcome import Outcome, Status
from rag.base.types import DocumentRecord, Scalar
from rag.govern.access import GRANT
from rag.records.submissions import State
from rag.serve.wire import Body, Int64, RawFilters, convert

Uri = Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"\S", examples=["wiki:refunds"])]
Title = Annotated[str, Meta(max_length=1_000)]
Text = Annotated[str, Meta(min_length=1, pattern=r"\S", description="The text, already read; offsets count in it.")]
Format = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.+_-]{0,31}$", examples=["markdown"])]
Grant = Annotated[str, Meta(pattern=GRANT, examples=["group:staff"])]
Acl = Annotated[list[Grant], Meta(max_length=100, description="Who may read it; nobody when empty.")]
Wait = Literal["indexed", "searchable"]
MetadataValue = str | Int64 | float | bool | list[str]
RawMetadata = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=64)], MetadataValue], Meta(max_length=64)]
PageStarts = Annotated[
    list[tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]],
    Meta(max_length=100_000, description="Where pages begin: offset in the text and number, by offset."),
]
Instant = Annotated[datetime, Meta(tz=True)]


class ReplacementBody(Body, frozen=True, kw_only=True):
    """A document's content. Without `acl` an existing document keeps its readers, and everyone may read a new one."""

    text: Text
    title: Title = ""
    format: Format = "text"
    acl: Acl | None = None
    metadata: RawMetadata = field(default_factory=dict)
    updated_at: Instant | None = None
    pages: PageStarts = field(default_factory=list)


class DocumentBody(ReplacementBody, frozen=True, kw_only=True):
    """A document and the name it goes by: the same `uri` is the same document."""

    uri: Uri


class DeletionBody(Body, frozen=True, kw_only=True):
    """Which documents are to go: those that match the filters, or `everything` of the tenant."""

    filters: RawFilters = field(default_factory=dict)
    everything: bool = False


class DeletedBody(Struct, frozen=True, kw_only=True):
    """How many documents were removed, and how many that match were `left` when they were counted afterwards."""

    deleted: int
    left: int


class OutcomeBody(Struct, frozen=True, kw_only=True):
    """What became of a document that was put. A duplicate is kept as a reference to the one with the same words.

    `state`: it is stored ("indexed"), or it was also read back whole ("searchable"), or it was left out ("skipped").
    Of a document that was "accepted" for a worker it says how far it came, and the rest is not known yet.
    """

    id: str
    uri: str
    version: str
    status: Status | Literal["accepted"]
    n_chunks: int
    n_tokens: int
    near_duplicate_of: str | None
    state: State | Literal["skipped"]


class PendingBody(Struct, frozen=True, kw_only=True):
    """A document that was handed in and is not searchable: `reason` is why the last attempt came to nothing.

    `eta_s`: in how many seconds it is likely to be done, or null where workers ended nothing of late.
    """

    submitted_at: datetime
    attempts: int
    reason: str
    may_work_later: bool
    eta_s: float | None


class RecordBody(Struct, frozen=True, kw_only=True):
    """What is known of a document; `duplicate_of` is the id of the document whose chunks stand for it.

    `state` is how far its latest version came, and `pending` tells of one that is not there yet.
    """

    id: str
    uri: str
    title: str
    version: str
    format: str
    updated_at: datetime
    acl: tuple[str, ...]
    metadata: Mapping[str, Scalar | tuple[str, ...]]
    n_chunks: int
    n_chars: int
    duplicate_of: str | None
    near_duplicate_of: str | None
    text: str | UnsetType = UNSET
    state: State | UnsetType = UNSET
    pending: PendingBody | UnsetType = UNSET


class ListingBody(Struct, frozen=True, kw_only=True):
    """A page of documents by id; `total` counts them all, and `cursor` asks for what follows."""

    documents: tuple[RecordBody, ...]
    total: int
    cursor: str | None


Told = Callable[[Outcome], Outcome]
"""What is told of an outcome."""


def discreet(outcome: Outcome) -> Outcome:
    """The outcome without what it tells of other documents.

    Else whoever may write could guess at documents of other readers: an equal one would be their duplicate.
    """
    status: Status = "added" if outcome.status in {"updated", "duplicate"} else outcome.status
    return replace(outcome, status=status, n_chunks=0, n_tokens=0, near_duplicate_of=None)


def outcome_body(outcome: Outcome, state: State | Literal["skipped"]) -> OutcomeBody:
    """The outcome as JSON has it."""
    return OutcomeBody(
        id=outcome.document_id,
        uri=outcome.uri,
        version=outcome.version,
        status=outcome.status,
        n_chunks=outcome.n_chunks,
        n_tokens=outcome.n_tokens,
        near_duplicate_of=outcome.near_duplicate_of,
        state=state,
    )


def record_body(record: DocumentRecord, text: str | UnsetType = UNSET) -> RecordBody:
    """The record as JSON has it."""
    body = convert(record, RecordBody)
    return body if text is UNSET else replace(body, text=text)


def draft_of(body: ReplacementBody, uri: str, acl: Sequence[str]) -> Draft:
    """The draft that the body describes, with those readers."""
    return Draft(
        uri=uri,
        text=body.text,
        title=body.title,
        format=body.format,
        acl=tuple(acl),
        metadata=body.metadata,
        updated_at=body.updated_at,
        pages=tuple(body.pages),
    )
