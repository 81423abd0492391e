"""Opening a Qdrant Edge shard, and our selections in its filter language. Everything here blocks."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, assert_never
from uuid import uuid4

import qdrant_edge as edge
from qdrant_edge import EdgeShard

from rag.base.errors import ConfigError, Unavailable
from rag.index.config import FieldType
from rag.index.hybrid import BM25, DENSE
from rag.index.selection import Clause, OneOf, Selection, Test, Within

PAGE: Final = 256
"""Points per call where many are read or written: 256 chunks of 384 dimensions are about 1 MB and 20 ms."""

_TYPES: Final[Mapping[FieldType, edge.PayloadSchemaType]] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Integer,
    "datetime": edge.PayloadSchemaType.Datetime,
}


def open_shard(path: Path, dimension: int) -> EdgeShard:
    """The shard at `path`, created when it is missing.

    Raises ConfigError while another process has it open, Unavailable when it cannot be read.
    """
    if not path.exists():
        _create(path, dimension)
    try:
        return EdgeShard.load(str(path))
    except Exception as error:  # the vendor raises nothing more specific
        if "WouldBlock" in str(error):
            raise ConfigError(
                f"the index in {path.parent} is in use by another process; "
                "stop that one, or send the documents to the running server instead"
            ) from error
        raise Unavailable(f"the index in {path.parent} cannot be opened: {error}") from error


def _create(path: Path, dimension: int) -> None:
    """Makes an empty shard elsewhere and moves it into place: a crash leaves none or a whole one."""
    draft = path.with_name(f"{path.name}.new-{uuid4().hex}")
    # No IDF modifier: its statistics of the visible chunks would be counted anew for every question, 15 ms of 100,000
    # where ours take 0.02 (2 cores, 2026-11), and its statistics of all chunks tell what is hidden.
    config = edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={BM25: edge.EdgeSparseVectorParams()},
        wal_enabled=True,
    )
    EdgeShard.create(str(draft), config).close()
    try:
        draft.rename(path)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not path.exists():
            raise


def remove_drafts(path: Path) -> None:
    """Clears what a crash during creation left beside the shard; call it with the shard open, so that it is ours."""
    for draft in path.parent.glob(f"{path.name}.new-*"):
        with suppress(OSError):
            shutil.rmtree(draft)


def index_fields(shard: EdgeShard, stored: Mapping[str, FieldType]) -> None:
    """Gives every field that filters may name its payload index, and takes it from fields no longer declared."""
    wanted = {path: _TYPES[kind] for path, kind in stored.items()}
    keyword = edge.PayloadSchemaType.Keyword
    wanted |= {"kind": keyword, "tenant": keyword, "acl": keyword, "state": keyword}
    present = {path: info.data_type for path, info in shard.info().payload_schema.items()}
    for path, kind in present.items():
        if kind != wanted.get(path):
            shard.update(edge.UpdateOperation.delete_field_index(path))
    for path, kind in wanted.items():
        if present.get(path) != kind:
            shard.update(edge.UpdateOperation.create_field_index(path, _schema(path, kind)))


def _schema(path: str, kind: edge.PayloadSchemaType) -> edge.PayloadSchemaType | edge.KeywordIndexParams:
    if path == "tenant":
        return edge.KeywordIndexParams(is_tenant=True)
    if path in {"document_id", "uri", "title", "content_hash", "duplicate_of", "version", "state", "bands"}:
        # Each of these finds a handful of points, which are scanned; links for them in the HNSW graph would be waste.
        return edge.KeywordIndexParams(enable_hnsw=False)
    return kind


def edge_filter(selection: Selection) -> edge.Filter:
    """The selection in the store's language."""
    return edge.Filter(
        must=[_condition(clause) for clause in selection.must],
        must_not=[_condition(clause) for clause in selection.must_not],
    )


def _condition(clause: Clause) -> edge.FieldCondition | edge.Filter:
    if len(clause) == 1:
        return _field_condition(clause[0])
    return edge.Filter(should=[_field_condition(test) for test in clause])


def _field_condition(test: Test) -> edge.FieldCondition:
    match test:
        case OneOf(path, values):
            return edge.FieldCondition(path, match=edge.MatchAny(list(values)))  # type: ignore[arg-type]  # one type each
        case Within():
            return edge.FieldCondition(test.path, range=_range(test))
        case _ as never:
            assert_never(never)


def _range(test: Within) -> edge.RangeFloat | edge.RangeDateTime:
    bounds = {name: getattr(test, name) for name in ("gt", "gte", "lt", "lte")}
    if any(isinstance(bound, datetime) for bound in bounds.values()):
        return edge.RangeDateTime(**{name: bound and bound.isoformat() for name, bound in bounds.items()})
    return edge.RangeFloat(**bounds)
