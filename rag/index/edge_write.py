"""Putting and deleting documents in a Qdrant Edge shard. Everything here blocks.

A replacement takes three operations and a crash may come between any two:

1. one upsert: the new chunks, and the record in its new version with the state "replacing";
2. delete the document's chunks of other versions;
3. set the record's state to "whole".

After a crash before 1 is logged the old version stands; after it `roll_forward` does 2 and 3 again. Doing them twice
does no harm.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from qdrant_edge import CountRequest, EdgeShard, Filter, Point, ScrollRequest, UpdateOperation

from rag.base.errors import PermanentIngestError
from rag.base.ports import IndexedDocument
from rag.index.bm25 import Bm25Encoder
from rag.index.edge_shard import PAGE, edge_filter
from rag.index.hybrid import BM25, DENSE
from rag.index.payload import State, chunk_payloads, point_id, record_payload
from rag.index.selection import OneOf, Selection

_REPLACING: Final = Selection(must=((OneOf("state", ("replacing",)),), (OneOf("kind", ("document",)),)))


class Batch(Struct, frozen=True):
    """Whole documents that are stored together: their versions by id, their chunks' points, their records."""

    versions: Mapping[str, str]
    chunks: Sequence[Point]
    documents: Sequence[IndexedDocument]


def batches(documents: Iterable[IndexedDocument], encoder: Bm25Encoder) -> Iterator[Batch]:
    """The documents, whole and in order, in groups of about `PAGE` points; of several versions of one the last counts.

    Raises PermanentIngestError for a document that cannot be stored.
    """
    group: list[IndexedDocument] = []
    n_points = 0
    for document in {document.record.id: document for document in documents}.values():
        group.append(document)
        n_points += 1 + len(document.chunks)
        if n_points >= PAGE:
            yield _batch(group, encoder)
            group, n_points = [], 0
    if group:
        yield _batch(group, encoder)


def _batch(documents: Sequence[IndexedDocument], encoder: Bm25Encoder) -> Batch:
    return Batch(
        {document.record.id: document.record.version for document in documents},
        [point for document in documents for point in _chunk_points(document, encoder)],
        tuple(documents),
    )


def _chunk_points(document: IndexedDocument, encoder: Bm25Encoder) -> list[Point]:
    rows = document.vectors.tolist()
    try:
        _record_point(document, "whole")
        return [
            Point(point_id(chunk.id), {DENSE: row, BM25: encoder.passage(chunk.text)}, payload)
            for chunk, row, payload in zip(document.chunks, rows, chunk_payloads(document), strict=True)
        ]
    except (TypeError, ValueError) as error:  # half a surrogate pair, NaN: what JSON and UTF-8 cannot say
        raise PermanentIngestError(f"{document.record.uri} holds a value that cannot be stored") from error


def _record_point(document: IndexedDocument, state: State) -> Point:
    return Point(point_id(document.record.id), {}, record_payload(document.record, state))


def store(shard: EdgeShard, batch: Batch) -> None:
    """Stores the batch. Let nobody read meanwhile."""
    present = shard.retrieve([point_id(document) for document in batch.versions], with_payload=False, with_vector=False)
    replaced = {str(record.id) for record in present}
    records = [
        _record_point(document, "replacing" if point_id(document.record.id) in replaced else "whole")
        for document in batch.documents
    ]
    shard.update(UpdateOperation.upsert_points([*batch.chunks, *records]))
    stale = {document: version for document, version in batch.versions.items() if point_id(document) in replaced}
    if stale:
        finish_replacing(shard, stale)


def finish_replacing(shard: EdgeShard, versions: Mapping[str, str]) -> None:
    """Removes the chunks of other versions of these documents, then marks the records as whole."""
    others = [
        edge_filter(
            Selection(
                must=((OneOf("document_id", (document,)),), (OneOf("kind", ("chunk",)),)),
                must_not=((OneOf("version", (version,)),),),
            )
        )
        for document, version in versions.items()
    ]
    shard.update(UpdateOperation.delete_points_by_filter(Filter(should=list(others))))
    points = [point_id(document) for document in versions]
    shard.update(UpdateOperation.set_payload(list(points), {"state": "whole"}))


def roll_forward(shard: EdgeShard) -> int:
    """Finishes the replacements that a crash cut short, and returns how many there were."""
    n_finished = 0
    while True:
        found, _ = shard.scroll(
            ScrollRequest(limit=PAGE, filter=edge_filter(_REPLACING), with_payload=["document_id", "version"])
        )
        if not found:
            return n_finished
        payloads = [record.payload or {} for record in found]
        finish_replacing(shard, {payload["document_id"]: payload["version"] for payload in payloads})
        n_finished += len(found)


def remove(shard: EdgeShard, selection: Selection) -> int:
    """Removes the selected documents with their chunks in one operation, and returns how many documents that were."""
    records = Selection(must=(*selection.must, (OneOf("kind", ("document",)),)), must_not=selection.must_not)
    n_documents = shard.count(CountRequest(exact=True, filter=edge_filter(records)))
    if n_documents:
        shard.update(UpdateOperation.delete_points_by_filter(edge_filter(selection)))
    return n_documents
