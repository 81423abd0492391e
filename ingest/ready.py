"""A document that can be stored, what is stored of it, and what is told of it afterwards. Pure."""

import msgspec
from msgspec import Struct

from ingest.embed import Embedded
from ingest.near import Nearness
from ingest.outcome import Outcome, Status
from ingest.plan import Step, record_of
from rag.base.errors import GroundwireError
from rag.base.ports import IndexedDocument
from rag.base.types import Document, DocumentRecord

Key = tuple[str, str]
"""Id and version: one document may come twice in a run."""


class Ready(Struct, frozen=True):
    """A document that can be stored."""

    embedded: Embedded
    nearness: Nearness


def key_of(document: Document) -> Key:
    """What tells the document from other versions of it."""
    return document.id, document.version


def indexed(ready: Ready) -> IndexedDocument:
    """What the store is given."""
    made = ready.embedded
    record = msgspec.structs.replace(
        record_of(made.document),
        n_chunks=len(made.chunks),
        bands=ready.nearness.bands,
        near_duplicate_of=ready.nearness.near_duplicate_of,
    )
    return IndexedDocument(record=record, chunks=made.chunks, vectors=made.vectors)


def skipped(document: Document, nearness: Nearness) -> Outcome:
    """The outcome of a document that is left out, since another one says nearly the same."""
    return Outcome(
        document_id=document.id,
        uri=document.uri,
        status="skipped",
        version=document.version,
        source=document.source,
        near_duplicate_of=nearness.near_duplicate_of,
    )


def carried_out(step: Step, ready: Ready | None) -> Outcome:
    """The outcome of a step that was done."""
    document = step.document
    stored = ready.embedded if ready and step.needs_chunks else None
    unchanged = step.old.n_chunks if step.old and step.action == "unchanged" else 0
    return Outcome(
        document_id=document.id,
        uri=document.uri,
        status=step.action,
        version=document.version,
        n_chunks=len(stored.chunks) if stored else unchanged,
        n_tokens=sum(chunk.n_tokens for chunk in stored.chunks) if stored else 0,
        source=document.source,
        near_duplicate_of=ready.nearness.near_duplicate_of if ready and stored else None,
    )


def mirrored(record: DocumentRecord, error: GroundwireError | None, *, is_there: bool) -> Outcome:
    """The outcome of a document that was put as it is in another store."""
    status: Status = "duplicate" if record.duplicate_of else "updated" if is_there else "added"
    return Outcome(
        document_id=record.id,
        uri=record.uri,
        status="failed" if error else status,
        version=record.version,
        n_chunks=record.n_chunks,
        reason=str(error or ""),
        near_duplicate_of=record.near_duplicate_of,
    )


def untouched(record: DocumentRecord) -> Outcome:
    """The outcome of a document that another store has already."""
    return Outcome(document_id=record.id, uri=record.uri, status="unchanged", version=record.version)
