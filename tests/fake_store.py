"""The PassageStore and its search, in memory and by brute force: what the real ones are held against."""

import math
import operator
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from rag.base.errors import GroundwireError
from rag.base.ports import IndexedDocument, Page, Retrieval, Vectors
from rag.base.types import (
    Access,
    Candidate,
    Chunk,
    Condition,
    DocumentRecord,
    Filters,
    Metadata,
    Origin,
    Passage,
    Range,
    Scalar,
)
from rag.govern.access import permits
from rag.index.config import FusionConfig
from rag.index.cursor import cursor_at, read_cursor
from rag.index.filters import Fields
from rag.index.fusion import Ranking, fuse
from rag.index.hybrid import Outcome, asks_for_nothing, candidates, require_searchable
from rag.index.payload import chunk_payloads, record_payload
from rag.index.wear import Wear


class MemoryStore:
    """Ids must be derived ones (`rag.base.ids`), as for every store."""

    name = "memory/rrf"

    def __init__(
        self, *, fields: Fields | None = None, fusion: FusionConfig | None = None, dimension: int = 64
    ) -> None:
        self._fields = fields or Fields()
        self._fusion = fusion or FusionConfig()
        self._dimension = dimension
        self._documents: dict[str, IndexedDocument] = {}
        self.epoch = 1
        self.worn = Wear()

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        for document in documents:
            record_payload(document.record)
            chunk_payloads(document)  # both refuse what no store can hold
        for document in documents:
            self._documents[document.record.id] = _frozen(document)
            self.epoch += 1

    async def delete(self, access: Access, filters: Filters) -> int:
        doomed = [document.record.id for document in self._matching(access, filters)]
        for identifier in doomed:
            del self._documents[identifier]
        self.epoch += bool(doomed)
        return len(doomed)

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        start = "" if cursor is None else read_cursor(cursor)
        records = sorted((document.record for document in self._matching(access, filters)), key=lambda one: one.id)
        rest = [record for record in records if record.id >= start]
        following = cursor_at(rest[limit].id) if len(rest) > limit else None
        return Page(records=tuple(rest[:limit]), total=len(records), cursor=following)

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        document = self._documents.get(document_id)
        if document is None or not permits(access, document.record.tenant, document.record.acl):
            return []
        pairs = zip(document.chunks, document.vectors, strict=True)
        return [(_passage(document.record, chunk), vector) for chunk, vector in pairs]

    async def count(self, access: Access, filters: Filters = ()) -> int:
        return len(self._matching(access, filters))

    async def n_documents(self) -> int:
        return len(self._documents)

    async def tenants(self) -> list[str]:
        return sorted({document.record.tenant for document in self._documents.values()})

    async def wear(self) -> Wear:
        return self.worn

    async def optimize(self) -> bool:
        return False

    async def search_batch(self, requests: Sequence[Retrieval], *, here: bool = False) -> list[Outcome]:
        return [self._outcome(request) for request in requests]

    def _outcome(self, request: Retrieval) -> Outcome:
        try:
            require_searchable(request, self._dimension, self._fields)
        except GroundwireError as error:
            return error
        return [] if asks_for_nothing(request) else self._search(request)

    def _search(self, request: Retrieval) -> list[Candidate]:
        corpus = {chunk.id: chunk.text for one in self._matching(request.access, ()) for chunk in one.chunks}
        found = self._matching(request.access, request.filters)
        vectors = {c.id: v for one in found for c, v in zip(one.chunks, one.vectors, strict=True)}
        dense = [(chunk, float(vector @ request.vector)) for chunk, vector in vectors.items()]
        bm25 = [(chunk, score) for chunk, score in _bm25(request.text, corpus) if chunk in vectors]
        legs: dict[Origin, Ranking[str]] = {
            "dense": _top(dense, self._fusion.depth),
            "bm25": _top(bm25, self._fusion.depth),
        }
        passages = {chunk.id: _passage(one.record, chunk) for one in found for chunk in one.chunks}
        own = {chunk: vector.tolist() for chunk, vector in vectors.items()} if request.with_vectors else {}
        return candidates(fuse(legs, self._fusion, request.limit), passages, own)

    def _matching(self, access: Access, filters: Filters) -> list[IndexedDocument]:
        return [
            document
            for document in self._documents.values()
            if permits(access, document.record.tenant, document.record.acl)
            and all(self._holds(condition, document.record) for condition in filters)
        ]

    def _holds(self, condition: Condition, record: DocumentRecord) -> bool:
        name = condition.field
        self._fields.path(name)
        if name in self._fields.declared:
            value = record.metadata.get(name)
            is_instant = self._fields.declared[name] == "datetime"
        else:
            value = record.id if name == "document_id" else getattr(record, name)
            is_instant = False
        if isinstance(condition, Range):
            return value is not None and _within(_instant(value) if is_instant else value, condition)
        if isinstance(value, tuple):  # of strings; sets, because texts that are alike are looked for by dozens of keys
            return {*condition.any_of}.isdisjoint(value) is condition.negated
        return any(_same(value, wanted) for wanted in condition.any_of) is not condition.negated


def _same(value: object, wanted: Scalar) -> bool:
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _within(value: Any, bounds: Range) -> bool:
    checks = [(bounds.gt, operator.gt), (bounds.gte, operator.ge), (bounds.lt, operator.lt), (bounds.lte, operator.le)]
    return all(bound is None or compare(value, bound) for bound, compare in checks)


def _instant(value: object) -> datetime:
    instant = datetime.fromisoformat(str(value))
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _top(ranking: Ranking[str], depth: int) -> Ranking[str]:
    return sorted(ranking, key=lambda entry: (-entry[1], entry[0]))[:depth]


def _bm25(question: str, corpus: dict[str, str]) -> Ranking[str]:
    words = {chunk: Counter(re.findall(r"\w+", text.lower())) for chunk, text in corpus.items()}
    scores: dict[str, float] = {}
    for word in sorted(set(re.findall(r"\w+", question.lower()))):
        holders = [chunk for chunk in words if words[chunk][word]]
        weight = math.log(1 + (len(words) - len(holders) + 0.5) / (len(holders) + 0.5))
        for chunk in holders:
            n = words[chunk][word]
            length = words[chunk].total() / 64
            scores[chunk] = scores.get(chunk, 0.0) + weight * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * length))
    return list(scores.items())


def _passage(record: DocumentRecord, chunk: Chunk) -> Passage:
    return Passage(
        chunk=chunk,
        uri=record.uri,
        title=record.title,
        version=record.version,
        format=record.format,
        updated_at=record.updated_at,
        metadata=record.metadata,
    )


def _frozen(document: IndexedDocument) -> IndexedDocument:
    metadata: Metadata = {
        name: value if isinstance(value, Scalar) else tuple(value) for name, value in document.record.metadata.items()
    }
    record = msgspec.structs.replace(document.record, metadata=metadata)
    return msgspec.structs.replace(document, record=record, vectors=np.array(document.vectors, dtype=np.float32))
