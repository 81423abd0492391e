"""Decides what is to be done about documents, given what the store holds. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from ingest.dedupe import likeness
from rag.base.types import Document, DocumentRecord

Action = Literal["added", "updated", "unchanged", "duplicate"]


class Held(Struct, frozen=True, kw_only=True):
    """What the store holds that matters to some documents."""

    records: Mapping[str, DocumentRecord]
    """By id: these documents as they were, and every document with the words of one of them."""
    followed: frozenset[str]
    """Ids of documents that others refer to as their original."""


class Step(Struct, frozen=True, kw_only=True):
    """What is to be done about one document. `releases`: it was the original of others and no longer will be."""

    document: Document
    action: Action
    old: DocumentRecord | None = None
    original: str | None = None
    releases: bool = False

    @property
    def needs_chunks(self) -> bool:
        """Whether its text is to be cut and embedded."""
        return self.action in ("added", "updated")


def plan(documents: Sequence[Document], held: Held) -> list[Step]:
    """Steps for the first documents of the sequence, at least one, that may be taken together.

    Together they have the effect they would have one after another, in order: of equal documents the first is the
    original. The list ends before a document that comes a second time, and around one whose duplicates must be handed
    over, because what is decided about later ones depends on that having been done.
    """
    state = dict(held.records)
    steps: list[Step] = []
    for document in documents:
        step = _step(document, state)
        is_original = step.releases and (document.id in held.followed or any(s.original == document.id for s in steps))
        repeated = any(earlier.document.id == document.id for earlier in steps)
        if steps and (is_original or repeated):
            break
        steps.append(step)
        if is_original:
            break
        state[document.id] = (
            record_of(document, original=step.original) if step.action != "unchanged" else state[document.id]
        )
    return steps


def record_of(document: Document, *, original: str | None = None) -> DocumentRecord:
    """What the store is to remember of the document."""
    return DocumentRecord(
        id=document.id,
        tenant=document.tenant,
        uri=document.uri,
        title=document.title,
        version=document.version,
        content_hash=document.content_hash,
        updated_at=document.updated_at,
        acl=document.acl,
        format=document.format,
        n_chunks=0,
        n_chars=len(document.text),
        duplicate_of=original,
        metadata=document.metadata,
    )


def _step(document: Document, state: Mapping[str, DocumentRecord]) -> Step:
    old = state.get(document.id)
    was_original = old is not None and old.duplicate_of is None
    stays_original = was_original and old is not None and likeness(old) == likeness(document)
    original = None if stays_original else _original(document, state.values())
    if old is not None and old.version == document.version and old.duplicate_of == original:
        return Step(document=document, action="unchanged", old=old, original=original)
    if original is not None:
        return Step(document=document, action="duplicate", old=old, original=original, releases=was_original)
    action: Action = "updated" if old is not None else "added"
    return Step(document=document, action=action, old=old, releases=was_original and not stays_original)


def _original(document: Document, records: Iterable[DocumentRecord]) -> str | None:
    wanted = likeness(document)
    alike = (
        record.id
        for record in records
        if record.duplicate_of is None and record.id != document.id
        if record.content_hash == document.content_hash and likeness(record) == wanted
    )
    return min(alike, default=None)
