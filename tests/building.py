"""Documents for the tests of stores: derived ids, hashed vectors, one chunk per text."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from rag.base.deadline import Deadline
from rag.base.ids import chunk_id, digest, document_id
from rag.base.ports import IndexedDocument, Retrieval, Vectors
from rag.base.types import EVERYONE, Access, Chunk, DocumentRecord, Filters, Metadata, Work
from rag.index.filters import Fields
from tests.fakes import HashingEmbedder

DIMENSION = 32
FIELDS = Fields({"year": "integer", "rating": "float", "draft": "bool", "due": "datetime", "tags": "keyword"})
EMBEDDER = HashingEmbedder(DIMENSION)
WHEN = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


async def embed(texts: Sequence[str]) -> Vectors:
    return await EMBEDDER.embed(texts, "passage", Work(tenant="test", deadline=Deadline(at_s=float("inf"))))


async def document(
    name: str,
    texts: Sequence[str],
    *,
    tenant: str = "acme",
    acl: tuple[str, ...] = (EVERYONE,),
    metadata: Metadata | None = None,
    changes: str = "",
) -> IndexedDocument:
    """The document at uri `name`; its version follows from everything that is given."""
    identifier = document_id(tenant, name)
    version = digest("version", *texts, *acl, repr(metadata), changes)
    chunks, start = [], 0
    for ordinal, text in enumerate(texts):
        chunks.append(
            Chunk(
                id=chunk_id(identifier, version, ordinal),
                document_id=identifier,
                ordinal=ordinal,
                text=text,
                start=start,
                stop=start + len(text),
                n_tokens=len(text.split()),
                headings=("Part", name),
                pages=((start, ordinal + 1),),
            )
        )
        start += len(text)
    record = DocumentRecord(
        id=identifier,
        tenant=tenant,
        uri=name,
        title=name.title(),
        version=version,
        content_hash=digest("content", *texts),
        updated_at=WHEN,
        acl=acl,
        format=name.rpartition(".")[2],
        n_chunks=len(chunks),
        n_chars=start,
        metadata=metadata or {},
    )
    return IndexedDocument(record=record, chunks=tuple(chunks), vectors=await embed(texts))


async def question(text: str, access: Access, filters: Filters = (), limit: int = 10) -> Retrieval:
    vector = (await embed([text]))[0] if text.strip() else np.ones(DIMENSION, dtype=np.float32)
    return Retrieval(text=text, vector=vector, access=access, filters=filters, limit=limit)
