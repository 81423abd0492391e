"""What a store keeps beside the vectors: one payload per chunk and one per document, the same in every store.

A chunk's payload repeats every field of its document, so that one filter takes a document with all its chunks and a
search needs no second look-up.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from rag.base.errors import PermanentIngestError
from rag.base.ids import as_uuid
from rag.base.ports import IndexedDocument
from rag.base.types import Chunk, DocumentRecord, Metadata, Passage, Scalar

Payload = dict[str, Any]
"""The JSON object that a store holds; only this module knows its keys."""

State = Literal["whole", "replacing"]
"""While a record says "replacing", chunks of the versions it replaces may still be there."""

WHOLE: Final[Payload] = {"state": "whole", "replaces": []}
"""What is set on a record once they are gone."""

Stored = Scalar | list[str]

_MAX_INTEGER: Final = 2**63


class _DocumentFields(Struct, frozen=True, kw_only=True):
    tenant: str
    acl: list[str]
    document_id: str
    uri: str
    title: str
    format: str
    version: str
    content_hash: str
    updated_at: datetime
    metadata: dict[str, Stored] = {}
    # Qdrant Edge 0.9.0 takes a truth value in a filter for a number and then matches nothing, so truth values are
    # stored as 1 and 0, and these are the names of the fields to turn back.
    truths: list[str] = []


class _RecordPayload(_DocumentFields, frozen=True, kw_only=True, tag_field="kind", tag="document"):
    n_chunks: int
    n_chars: int
    duplicate_of: str | None = None
    near_duplicate_of: str | None = None
    bands: list[str] = []
    state: State = "whole"
    replaces: list[str] = []


class _ChunkPayload(_DocumentFields, frozen=True, kw_only=True, tag_field="kind", tag="chunk"):
    ordinal: int
    text: str
    start: int
    stop: int
    n_tokens: int
    headings: list[str] = []
    pages: list[tuple[int, int]] = []


def grouped(documents: Sequence[IndexedDocument], n_points: int) -> Iterator[tuple[IndexedDocument, ...]]:
    """The documents, whole and in order, in groups of about that many points; of several versions of one the last."""
    group: list[IndexedDocument] = []
    n_grouped = 0
    for document in {document.record.id: document for document in documents}.values():
        group.append(document)
        n_grouped += 1 + len(document.chunks)
        if n_grouped >= n_points:
            yield tuple(group)
            group, n_grouped = [], 0
    if group:
        yield tuple(group)


def point_id(identifier: str) -> str:
    """The id of the point of a chunk or a document record."""
    return as_uuid(identifier)


def identifier_of(point: object) -> str:
    """The id of the chunk or document whose point this is; stores give UUIDs or their spelling."""
    return (point if isinstance(point, UUID) else UUID(str(point))).hex


def number_of(point: object) -> int:
    """The id of a point as a number: quicker to make and to compare, in the same order as the identifiers."""
    return (point if isinstance(point, UUID) else UUID(str(point))).int


def identifier_at(number: int) -> str:
    """The identifier with that number."""
    return f"{number:032x}"


def record_payload(record: DocumentRecord, replaces: Sequence[str] = ()) -> Payload:
    """What is stored of a document, which replaces those versions of itself.

    Raises PermanentIngestError for a value that no store can hold.
    """
    payload = _RecordPayload(
        **_document_fields(record),
        n_chunks=record.n_chunks,
        n_chars=record.n_chars,
        duplicate_of=record.duplicate_of,
        near_duplicate_of=record.near_duplicate_of,
        bands=list(record.bands),
        state="replacing" if replaces else "whole",
        replaces=list(replaces),
    )
    return _builtins(payload)


def versions_to_replace(present: Payload, version: str) -> list[str]:
    """The versions, other than the new one, of which a document's present record says that chunks may be there."""
    return [old for old in (present["version"], *present["replaces"]) if old != version]


def chunk_payloads(document: IndexedDocument) -> list[Payload]:
    """What is stored of each chunk, in order. Raises PermanentIngestError for a value that no store can hold."""
    shared = _document_fields(document.record)
    return [_builtins(_chunk_payload(chunk, shared)) for chunk in document.chunks]


def read_record(payload: Payload) -> DocumentRecord:
    """The document as it was put."""
    stored = _read(payload, _RecordPayload)
    return DocumentRecord(
        id=stored.document_id,
        tenant=stored.tenant,
        uri=stored.uri,
        title=stored.title,
        version=stored.version,
        content_hash=stored.content_hash,
        updated_at=stored.updated_at,
        acl=tuple(stored.acl),
        format=stored.format,
        n_chunks=stored.n_chunks,
        n_chars=stored.n_chars,
        duplicate_of=stored.duplicate_of,
        near_duplicate_of=stored.near_duplicate_of,
        bands=tuple(stored.bands),
        metadata=_read_metadata(stored),
    )


def read_passage(identifier: str, payload: Payload) -> Passage:
    """The chunk with that id, as it was put."""
    stored = _read(payload, _ChunkPayload)
    chunk = Chunk(
        id=identifier,
        document_id=stored.document_id,
        ordinal=stored.ordinal,
        text=stored.text,
        start=stored.start,
        stop=stored.stop,
        n_tokens=stored.n_tokens,
        headings=tuple(stored.headings),
        pages=tuple(stored.pages),
    )
    return Passage(
        chunk=chunk,
        uri=stored.uri,
        title=stored.title,
        version=stored.version,
        format=stored.format,
        updated_at=stored.updated_at,
        metadata=_read_metadata(stored),
    )


def audience_of(payload: Payload) -> tuple[str, frozenset[str]]:
    """The tenant and the acl of the chunk or document with that payload."""
    return payload["tenant"], frozenset(payload["acl"])


def _chunk_payload(chunk: Chunk, shared: Mapping[str, Any]) -> _ChunkPayload:
    return _ChunkPayload(
        **shared,
        ordinal=chunk.ordinal,
        text=chunk.text,
        start=chunk.start,
        stop=chunk.stop,
        n_tokens=chunk.n_tokens,
        headings=list(chunk.headings),
        pages=list(chunk.pages),
    )


def _document_fields(record: DocumentRecord) -> dict[str, Any]:
    return {
        "tenant": record.tenant,
        "acl": list(record.acl),
        "document_id": record.id,
        "uri": record.uri,
        "title": record.title,
        "format": record.format,
        "version": record.version,
        "content_hash": record.content_hash,
        "updated_at": record.updated_at,
        "metadata": {name: _stored(name, value, record.uri) for name, value in record.metadata.items()},
        "truths": [name for name, value in record.metadata.items() if isinstance(value, bool)],
    }


def _stored(name: str, value: Scalar | Any, uri: str) -> Stored:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise PermanentIngestError(f"the metadata field '{name}' of {uri} does not fit into 64 bits; write it as text")
    if isinstance(value, float) and not math.isfinite(value):
        raise PermanentIngestError(f"the metadata field '{name}' of {uri} is {value}; leave it out or write it as text")
    if isinstance(value, str | int | float):
        return value
    return [str(item) for item in value]


def _read_metadata(stored: _DocumentFields) -> Metadata:
    metadata: dict[str, Scalar | tuple[str, ...]] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.metadata.items()
    }
    return metadata | {name: bool(metadata[name]) for name in stored.truths}


def _builtins(payload: _RecordPayload | _ChunkPayload) -> Payload:
    try:
        msgspec.json.encode(payload)
    except UnicodeEncodeError as error:
        raise PermanentIngestError(f"{payload.uri} is not valid Unicode: it holds half of a surrogate pair") from error
    builtins: Payload = msgspec.to_builtins(payload)
    return builtins


Read = TypeVar("Read", _RecordPayload, _ChunkPayload)


def _read(payload: Payload, kind: type[Read]) -> Read:
    return msgspec.convert(payload, kind)
