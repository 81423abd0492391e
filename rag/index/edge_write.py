"""Putting and deleting documents in a Qdrant Edge shard. Everything here blocks.

A replacement takes three operations and a crash may come between any two:

1. one upsert: the new chunks, and the record in its new version with the state "replacing";
2. delete the chunks of the versions that the record replaces;
3. set the record's state to "whole".

After a crash before 1 is logged the old version stands; after it `roll_forward` does 2 and 3 again. Doing them twice
does no harm.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from qdrant_edge import CountRequest, EdgeShard, Filter, Point, ScrollRequest, UpdateOperation

from rag.base.ports import IndexedDocument
from rag.base.types import DocumentRecord
from rag.index.bm25 import Bm25Encoder
from rag.index.edge_shard import PAGE, edge_filter
from rag.index.hybrid import BM25, DENSE
from rag.index.payload import (
    WHOLE,
    chunk_payloads,
    grouped,
    identifier_of,
    point_id,
    record_payload,
    versions_to_replace,
)
from rag.index.selection import UNFINISHED, OneOf, Selection, chunks_of


class Batch(Struct, frozen=True):
    """Whole documents that are stored together, and their chunks' points."""

    documents: Sequence[IndexedDocument]
    chunks: Sequence[Point]


def batches(documents: Sequence[IndexedDocument], encoder: Bm25Encoder) -> list[Batch]:
    """The documents in groups of about `PAGE` points. Raises PermanentIngestError for one that cannot be stored."""
    for document in documents:
        record_payload(document.record)
    return [
        Batch(group, [point for document in group for point in _chunk_points(document, encoder)])
        for group in grouped(documents, PAGE)
    ]


def _chunk_points(document: IndexedDocument, encoder: Bm25Encoder) -> list[Point]:
    rows = document.vectors.tolist()
    return [
        Point(point_id(chunk.id), {DENSE: row, BM25: encoder.passage(chunk.text)}, payload)
        for chunk, row, payload in zip(document.chunks, rows, chunk_payloads(document), strict=True)
    ]


def _record_point(document: IndexedDocument, replaces: Sequence[str]) -> Point:
    return Point(point_id(document.record.id), {}, record_payload(document.record, replaces))


def store(shard: EdgeShard, batch: Batch) -> None:
    """Stores the batch. Let nobody read meanwhile."""
    replaced = _versions_to_replace(shard, [document.record for document in batch.documents])
    records = [_record_point(document, replaced.get(document.record.id, ())) for document in batch.documents]
    shard.update(UpdateOperation.upsert_points([*batch.chunks, *records]))
    _finish(shard, replaced)


def roll_forward(shard: EdgeShard) -> None:
    """Finishes the replacements that a crash cut short."""
    unfinished = ScrollRequest(limit=PAGE, filter=edge_filter(UNFINISHED), with_payload=["document_id", "replaces"])
    while found := shard.scroll(unfinished)[0]:
        payloads = [record.payload or {} for record in found]
        _finish(shard, {payload["document_id"]: payload["replaces"] for payload in payloads})


def _versions_to_replace(shard: EdgeShard, records: Sequence[DocumentRecord]) -> dict[str, list[str]]:
    points = [point_id(record.id) for record in records]
    found = shard.retrieve(list(points), with_payload=["version", "replaces"], with_vector=False)
    present = {identifier_of(record.id): record.payload or {} for record in found}
    replaced = {
        record.id: versions_to_replace(present[record.id], record.version) for record in records if record.id in present
    }
    return {document: versions for document, versions in replaced.items() if versions}


def _finish(shard: EdgeShard, replaced: Mapping[str, Sequence[str]]) -> None:
    """Removes the chunks of the replaced versions, then marks the records as whole."""
    if not replaced:
        return
    stale = Filter(should=[edge_filter(chunks_of(document, versions)) for document, versions in replaced.items()])
    shard.update(UpdateOperation.delete_points_by_filter(stale))
    shard.update(UpdateOperation.set_payload([point_id(document) for document in replaced], WHOLE))


def remove(shard: EdgeShard, selection: Selection) -> int:
    """Removes the selected documents with their chunks in one operation, and returns how many documents that were."""
    records = Selection(must=(*selection.must, (OneOf("kind", ("document",)),)), must_not=selection.must_not)
    n_documents = shard.count(CountRequest(exact=True, filter=edge_filter(records)))
    if n_documents:
        shard.update(UpdateOperation.delete_points_by_filter(edge_filter(selection)))
    return n_documents
