"""Documents that hold the same: which they are, and who follows when the one that has the chunks goes.

Of documents with equal likeness one, the original, has the chunks; the others are records that name it. Readers of
the others are led to it, so their acl and metadata must be the same: a filter or an access rule then selects either
both or neither.
"""

import msgspec
import numpy as np

from ingest.lookup import records_by
from rag.base.ids import chunk_id, digest
from rag.base.ports import IndexedDocument, PassageStore
from rag.base.types import Document, DocumentRecord
from rag.govern.access import managed_in


def likeness(document: Document | DocumentRecord) -> str:
    """Equal for documents of which one set of chunks is enough: same words, same readers, same metadata."""
    metadata = dict(sorted(document.metadata.items()))
    return digest(document.content_hash, msgspec.json.encode((sorted(document.acl), metadata)).decode())


def reference(record: DocumentRecord, original: str) -> IndexedDocument:
    """The record of a document whose chunks are those of `original`."""
    pointing = msgspec.structs.replace(record, duplicate_of=original, n_chunks=0)
    return IndexedDocument(record=pointing, chunks=(), vectors=np.zeros((0, 0), dtype=np.float32))


async def hand_over(store: PassageStore, original: DocumentRecord) -> None:
    """Makes the duplicates of a document independent of it, before it is deleted or holds something else.

    The first by uri takes over chunks and vectors; the others refer to it from now on. Where another document with
    chunks holds the same already, they refer to that one: so a run that was killed here ends as if it had not been.
    """
    tenant = original.tenant
    dependants = await records_by(store, tenant, "duplicate_of", [original.id])
    if not dependants:
        return
    dependants.sort(key=lambda record: record.uri)
    alike = [
        record
        for record in await records_by(store, tenant, "content_hash", [original.content_hash])
        if record.duplicate_of is None and record.id != original.id and likeness(record) == likeness(original)
    ]
    if alike:
        heir = min(record.id for record in alike)
    else:
        heir = dependants[0].id
        await store.put([await _heir(store, original, dependants.pop(0))])
    await store.put([reference(record, heir) for record in dependants])


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
        record, duplicate_of=None, n_chunks=original.n_chunks, n_chars=original.n_chars
    )
    return IndexedDocument(record=independent, chunks=chunks, vectors=np.stack([vector for _, vector in kept]))
