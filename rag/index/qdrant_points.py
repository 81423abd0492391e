"""Our selections, plans and documents in Qdrant's models. Belongs to `rag.index.qdrant`; imported nowhere else."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, assert_never

import numpy as np
from qdrant_client import models
from qdrant_edge import SparseVector

from rag.base.ports import IndexedDocument, Vectors
from rag.base.types import Passage
from rag.index.bm25 import Bm25Encoder
from rag.index.config import FieldType, QdrantConfig
from rag.index.hybrid import BM25, DENSE, Leg, Plan, dense_of
from rag.index.payload import chunk_payloads, identifier_of, point_id, read_passage, record_payload
from rag.index.selection import Clause, OneOf, Selection, Test, Within, joined, visible

_TYPES: Final[Mapping[FieldType, models.PayloadSchemaType]] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "integer": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.INTEGER,
    "datetime": models.PayloadSchemaType.DATETIME,
}


_STRICT: Final = models.StrictModeConfig(
    enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
)


def new_collection(config: QdrantConfig, dimension: int) -> dict[str, Any]:
    """The arguments of the client by which a collection is made."""
    dense = models.VectorParams(size=dimension, distance=models.Distance.COSINE, on_disk=config.on_disk or None)
    return {
        "vectors_config": {DENSE: dense},
        "sparse_vectors_config": {BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        "shard_number": config.shards,
        "replication_factor": config.replicas,
        "write_consistency_factor": config.write_replicas,
        "on_disk_payload": config.on_disk,
        "quantization_config": _quantised(config),
        "strict_mode_config": _STRICT if config.strict else None,
    }


def _quantised(config: QdrantConfig) -> models.ScalarQuantization | models.BinaryQuantization | None:
    match config.quantisation:
        case "none":
            return None
        case "scalar":
            # Without the hundredth of values that lies furthest out, the others are told apart more finely.
            kind = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
            return models.ScalarQuantization(scalar=kind)
        case "binary":
            return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
        case _ as never:
            assert_never(never)


def payload_indexes(stored: Mapping[str, FieldType]) -> dict[str, models.PayloadSchemaType | models.KeywordIndexParams]:
    """Every index that the collection needs, by the path of its field."""
    keyword = models.PayloadSchemaType.KEYWORD
    tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    fields = {path: _TYPES[kind] for path, kind in stored.items()}
    return {**fields, "kind": keyword, "acl": keyword, "state": keyword, "tenant": tenant}


def query(plan: Plan, leg: Leg) -> models.QueryRequest:
    """One leg of a planned question: ids and scores only."""
    seen = visible(plan.access, "chunk")
    wanted = server_filter(joined(seen, plan.wanted))
    match leg:
        case "dense":
            return models.QueryRequest(query=plan.vector.tolist(), using=DENSE, filter=wanted, limit=plan.depth)
        case "bm25":
            corpus = models.SearchParams(
                idf=models.IdfCorpusParams(corpus=server_filter(visible(plan.access, "chunk")))
            )
            return models.QueryRequest(
                query=_sparse(plan.words), using=BM25, filter=wanted, limit=plan.depth, params=corpus
            )
        case _ as never:
            assert_never(never)


def chunk_points(document: IndexedDocument, encoder: Bm25Encoder) -> list[models.PointStruct]:
    """The points of a document's chunks. Raises PermanentIngestError or UnicodeEncodeError for what none can hold."""
    rows = document.vectors.tolist()
    return [
        models.PointStruct(
            id=point_id(chunk.id), vector={DENSE: row, BM25: _sparse(encoder.passage(chunk.text))}, payload=payload
        )
        for chunk, row, payload in zip(document.chunks, rows, chunk_payloads(document), strict=True)
    ]


def record_point(document: IndexedDocument, replaces: Sequence[str]) -> models.PointStruct:
    """The point of a document's record, which has no vectors."""
    return models.PointStruct(
        id=point_id(document.record.id), vector={}, payload=record_payload(document.record, replaces)
    )


def read_point(record: models.Record) -> tuple[Passage, Vectors]:
    """A chunk's passage and its dense vector."""
    passage = read_passage(identifier_of(record.id), record.payload or {})
    return passage, np.asarray(dense_of(record.vector), dtype=np.float32)


def server_filter(selection: Selection) -> models.Filter:
    """The selection in the store's language."""
    return models.Filter(
        must=[_condition(clause) for clause in selection.must],
        must_not=[_condition(clause) for clause in selection.must_not],
    )


def _condition(clause: Clause) -> models.Condition:
    if len(clause) == 1:
        return _field_condition(clause[0])
    return models.Filter(should=[_field_condition(test) for test in clause])


def _field_condition(test: Test) -> models.FieldCondition | models.HasIdCondition:
    match test:
        case OneOf(_, ()):
            return models.HasIdCondition(has_id=[])
        case OneOf(path, values):
            any_of = models.MatchAny(any=list(values))  # type: ignore[arg-type]  # they are of one type
            return models.FieldCondition(key=path, match=any_of)
        case Within():
            return models.FieldCondition(key=test.path, range=_range(test))
        case _ as never:
            assert_never(never)


def _range(test: Within) -> models.Range | models.DatetimeRange:
    bounds = {name: getattr(test, name) for name in ("gt", "gte", "lt", "lte")}
    if any(isinstance(bound, datetime) for bound in bounds.values()):
        return models.DatetimeRange(**bounds)
    return models.Range(**bounds)


def _sparse(words: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=words.indices, values=words.values)
