"""What spans of the store and of what fills it say; see `rag.telemetry.attributes`."""

from rag.telemetry.attributes import SPAN_KIND, Peer, server
from rag.telemetry.spans import Attribute, Attributes


def query_batch(peer: Peer, collection: str, n_items: int, n_rows: int) -> Attributes:
    """One call of the store for several searches."""
    known: dict[str, Attribute] = {
        **_operation(peer, collection, "query_batch"),
        "db.response.returned_rows": n_rows,
    }
    if n_items > 1:
        known["db.operation.batch.size"] = n_items
    return known


def stored(peer: Peer, collection: str, n_documents: int, n_chunks: int) -> Attributes:
    """Documents that were put into the store."""
    return {
        **_operation(peer, collection, "put"),
        "rag.ingest.documents": n_documents,
        "rag.ingest.chunks": n_chunks,
    }


def deleted(peer: Peer, collection: str, n_documents: int) -> Attributes:
    """Documents that were removed from the store."""
    return {**_operation(peer, collection, "delete"), "rag.ingest.documents": n_documents}


def ingestion(n_documents: int, n_failed: int, n_chunks: int) -> Attributes:
    """A run over many documents."""
    return {
        SPAN_KIND: "CHAIN",
        "rag.ingest.documents": n_documents,
        "rag.ingest.failed": n_failed,
        "rag.ingest.chunks": n_chunks,
    }


def indexed(document_id: str, status: str, n_chunks: int, n_tokens: int) -> Attributes:
    """One document: what became of it, its chunks, and the tokens that were embedded for it."""
    return {
        SPAN_KIND: "CHAIN",
        "rag.ingest.document_id": document_id,
        "rag.ingest.status": status,
        "rag.ingest.chunks": n_chunks,
        "rag.ingest.tokens": n_tokens,
    }


def _operation(peer: Peer, collection: str, name: str) -> Attributes:
    return {
        "db.system.name": "qdrant",  # the embedded store too is Qdrant's engine
        "db.operation.name": name,
        "db.collection.name": collection,
        SPAN_KIND: "CHAIN",
        **server(peer),
    }
