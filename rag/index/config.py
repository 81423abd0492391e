"""Which store holds the index, how its two legs are fused, and which metadata fields can be filtered on."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from rag.base.secret import Secret

FieldType = Literal["keyword", "integer", "float", "bool", "datetime"]
"""The type of a metadata field that filters may name; a list of strings is a keyword field."""

Positive = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class Bm25Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How texts become BM25 term weights. Stored with the index: changing it asks for `rag reindex`.

    `average_words` is the length, in words that are not stop words, at which a chunk is neither favoured nor punished.
    It is a constant and not the mean of the corpus, so that no score depends on documents the caller may not see.
    """

    # Chunks of about 200 tokens hold 58 such words in SQuAD, 63 to 79 in five Markdown corpora, 72 in TIME (measured
    # 2026-11). The exact value hardly matters: chunks of one size all gain or lose by the same factor.
    average_words: Positive = 64.0
    k1: Weight = 1.2
    b: Annotated[float, Meta(ge=0, le=1)] = 0.75
    language: str = "english"


class EdgeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="edge"):
    """Qdrant Edge: the index lives in a folder of this process. One process at a time.

    With less than `min_free_bytes` on its disk nothing more is put. The files are mapped into memory, and on a full
    disk the write to one ends the process with SIGBUS (tried: a tmpfs of 3 MB); the log alone grows by 32 MiB at once.
    """

    bm25: Bm25Config = Bm25Config()
    threads: Annotated[int, Meta(ge=1, le=64)] = 4
    min_free_bytes: Annotated[int, Meta(ge=0)] = 128 * 1024 * 1024
    rebuild_after_chunks: Annotated[int, Meta(ge=0)] = 20_000
    """A server builds its index anew when so many were added or are gone, if that is a tenth or a half of all."""


class QdrantConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="qdrant"):
    """A Qdrant server, shared by any number of processes. `url` may be `:memory:` in tests.

    From `shards` on it is how a collection is made that is not there yet; one that is there stays as it is.
    """

    url: str
    api_key: Secret | None = None
    grpc_port: Annotated[int, Meta(ge=1, le=65535)] = 6334
    prefer_grpc: bool = True
    collection: Annotated[str, Meta(min_length=1, max_length=200)] = "groundwire"
    timeout_s: Positive = 10.0
    bm25: Bm25Config = Bm25Config()
    shards: Count = 1
    replicas: Count = 1
    write_replicas: Count = 1
    """How many replicas must have a write before it counts as done."""
    quantisation: Literal["none", "scalar", "binary"] = "none"
    """Quantised vectors are held in memory, beside the original ones unless those are `on_disk`."""
    on_disk: bool = False
    """Whether vectors and payloads are read from disk rather than held in memory."""
    strict: bool = False
    """Whether the server refuses filters on fields without an index."""


StoreConfig = EdgeConfig | QdrantConfig


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each leg counts; 0 leaves a leg out of the order."""

    dense: Weight = 1.0
    bm25: Weight = 1.0


class FusionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the dense and the BM25 order become one.

    `depth` is how many results of each leg are read; `k` belongs to "rrf" only.
    """

    kind: Literal["rrf", "minmax", "dbsf"] = "minmax"
    k: Annotated[int, Meta(ge=1)] = 10
    weights: Weights = Weights()
    depth: Annotated[int, Meta(ge=1, le=1000)] = 100
