"""Documents that hold the same: which they are, and who follows when the one that has the chunks goes.

Of documents with equal likeness one, the original, has the chunks; the others are records that name it. Readers of
the others are led to it, so their acl and metadata must be the same: a filter or an access rule then selects either
both or neither.
"""

from collections.abc import Container

import msgspec
import numpy as np

from ingest.lookup import matching, records_by
from rag.base.ids import chunk_id, digest
from rag.base.ports import IndexedDocument, PassageStore
from rag.base.types import Access, Document, DocumentRecord, Filters
from rag.govern.access import managed_in


def likeness(document: Document | DocumentRecord) -> str:
    """Equal for documents of which one set of chunks is enough: same words, same readers, same metadata."""
    return digest(document.content_hash, circle(document))


def circle(document: Document | DocumentRecord) -> str:
    """Equal for documents that the same readers may see and the same filters on metadata select."""
    metadata = dict(sorted(document.metadata.items()))
    return msgspec.json.encode((sorted(document.acl), metadata)).decode()


def reference(record: DocumentRecord, original: str) -> IndexedDocument:
    """The record of a document whose chunks are those of `original`."""
    pointing = msgspec.structs.replace(record, duplicate_of=original, n_chunks=0)
    return IndexedDocument(record=pointing, chunks=(), vectors=np.zeros((0, 0), dtype=np.float32))


async def hand_over(store: PassageStore, original: DocumentRecord, going: Container[str] = ()) -> None:
    """Makes the duplicates of a document independent of it, before it is deleted or holds something else.

    The first by uri takes over chunks and vectors; the others refer to it from now on. Where another document with
    chunks holds the same already, they refer to that one: so a run that was killed here ends as if it had not been.
    Documents whose ids are in `going` are about to be deleted too and get nothing.
    """
    tenant = original.tenant
    found = await records_by(store, tenant, "duplicate_of", [original.id])
    dependants = sorted((record for record in found if record.id not in going), key=lambda record: record.uri)
    if not dependants:
        return
    alike = [
        record
        for record in await records_by(store, tenant, "content_hash", [original.content_hash])
        if record.duplicate_of is None and record.id != original.id and record.id not in going
        if likeness(record) == likeness(original)
    ]
    if alike:
        heir = min(record.id for record in alike)
    else:
        heir = dependants[0].id
        await store.put([await _heir(store, original, dependants.pop(0))])
    await store.put([reference(record, heir) for record in dependants])


async def release(store: PassageStore, access: Access, filters: Filters) -> None:
    """Makes documents that stay independent of those that match, which are about to be deleted."""
    going = {record.id: record.duplicate_of is None async for record in matching(store, access, filters)}
    originals = [identifier for identifier, is_original in going.items() if is_original]
    followers = await records_by(store, access.tenant, "duplicate_of", originals)
    left = {record.duplicate_of for record in followers if record.duplicate_of and record.id not in going}
    for original in await records_by(store, access.tenant, "document_id", sorted(left)):
        await hand_over(store, original, going)


async def _heir(store: PassageStore, original: DocumentRecord, record: DocumentRecord) -> IndexedDocument:
    kept = await store.passages(managed_in(original.tenant), original.id)
    chunks = tuple(
        msgspec.structs.replace(
            passage.chunk,
            id=chunk_id(record.id, record.version, passage.chunk.ordinal),
            document_id=record.id,
        )
        for passage, _ in kept
    )
    independent = msgspec.structs.replace(
        record, duplicate_of=None, n_chunks=original.n_chunks, n_chars=original.n_chars, bands=original.bands
    )
    return IndexedDocument(record=independent, chunks=chunks, vectors=np.stack([vector for _, vector in kept]))
