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
from rag.index.edge_words import chunk_words, words_at, words_in
from rag.index.frequencies import ChunkWords, DocumentFrequencies
from rag.index.hybrid import BM25, DENSE
from rag.index.payload import (
    WHOLE,
    Payload,
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
    words: Sequence[ChunkWords]


def batches(documents: Sequence[IndexedDocument], encoder: Bm25Encoder) -> list[Batch]:
    """The documents in groups of about `PAGE` points. Raises PermanentIngestError for one that cannot be stored."""
    for document in documents:
        record_payload(document.record)
    return [_batch(group, encoder) for group in grouped(documents, PAGE)]


def _batch(documents: Sequence[IndexedDocument], encoder: Bm25Encoder) -> Batch:
    chunks: list[Point] = []
    words: list[ChunkWords] = []
    for document in documents:
        rows = document.vectors.tolist()
        for chunk, row, payload in zip(document.chunks, rows, chunk_payloads(document), strict=True):
            weights = encoder.passage(chunk.text)
            chunks.append(Point(point_id(chunk.id), {DENSE: row, BM25: weights}, payload))
            words.append(chunk_words(weights, payload))
    return Batch(documents, chunks, words)


def _record_point(document: IndexedDocument, replaces: Sequence[str]) -> Point:
    return Point(point_id(document.record.id), {}, record_payload(document.record, replaces))


def store(shard: EdgeShard, batch: Batch, frequencies: DocumentFrequencies) -> None:
    """Stores the batch. Let nobody read meanwhile. When it fails, finish with `roll_forward` and count anew."""
    present = _present(shard, [document.record for document in batch.documents])
    replaced = _versions_to_replace(present, [document.record for document in batch.documents])
    records = [_record_point(document, replaced.get(document.record.id, ())) for document in batch.documents]
    gone = _words_replaced(shard, batch, present, replaced)
    shard.update(UpdateOperation.upsert_points([*batch.chunks, *records]))
    _finish(shard, replaced)
    frequencies.remove(gone)
    frequencies.add(batch.words)


def _words_replaced(
    shard: EdgeShard, batch: Batch, present: Mapping[str, Payload], replaced: Mapping[str, Sequence[str]]
) -> list[ChunkWords]:
    """The words of the chunks that storing the batch removes or writes over."""
    again = [
        point_id(chunk.id) for document in batch.documents if document.record.id in present for chunk in document.chunks
    ]
    overwritten = words_at(shard, again) if again else []
    return [*overwritten, *(words_in(shard, _stale(replaced)) if replaced else ())]


def roll_forward(shard: EdgeShard) -> None:
    """Finishes the replacements that a crash cut short."""
    unfinished = ScrollRequest(limit=PAGE, filter=edge_filter(UNFINISHED), with_payload=["document_id", "replaces"])
    while found := shard.scroll(unfinished)[0]:
        payloads = [record.payload or {} for record in found]
        _finish(shard, {payload["document_id"]: payload["replaces"] for payload in payloads})


def _present(shard: EdgeShard, records: Sequence[DocumentRecord]) -> dict[str, Payload]:
    points = [point_id(record.id) for record in records]
    found = shard.retrieve(list(points), with_payload=["version", "replaces"], with_vector=False)
    return {identifier_of(record.id): record.payload or {} for record in found}


def _versions_to_replace(present: Mapping[str, Payload], records: Sequence[DocumentRecord]) -> dict[str, list[str]]:
    replaced = {
        record.id: versions_to_replace(present[record.id], record.version) for record in records if record.id in present
    }
    return {document: versions for document, versions in replaced.items() if versions}


def _finish(shard: EdgeShard, replaced: Mapping[str, Sequence[str]]) -> None:
    """Removes the chunks of the replaced versions, then marks the records as whole."""
    if not replaced:
        return
    shard.update(UpdateOperation.delete_points_by_filter(_stale(replaced)))
    shard.update(UpdateOperation.set_payload([point_id(document) for document in replaced], WHOLE))


def _stale(replaced: Mapping[str, Sequence[str]]) -> Filter:
    return Filter(should=[edge_filter(chunks_of(document, versions)) for document, versions in replaced.items()])


def remove(shard: EdgeShard, selection: Selection, frequencies: DocumentFrequencies) -> int:
    """Removes the selected documents with their chunks in one operation, and returns how many documents that were.

    When it fails, count anew.
    """
    records = Selection(must=(*selection.must, (OneOf("kind", ("document",)),)), must_not=selection.must_not)
    n_documents = shard.count(CountRequest(exact=True, filter=edge_filter(records)))
    if n_documents:
        doomed = edge_filter(selection)
        gone = list(words_in(shard, doomed))
        shard.update(UpdateOperation.delete_points_by_filter(doomed))
        frequencies.remove(gone)
    return n_documents
