"""The settings of the reranker."""

from typing import Annotated

from msgspec import Meta, Struct

from rag.infer.endpoint import Endpoint
from rerank.wire import Dialect

Depth = Annotated[int, Meta(ge=1, le=200)]
Share = Annotated[float, Meta(ge=0, le=1)]
Pairs = Annotated[int, Meta(ge=0, le=10_000_000)]


class NoRerankConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Leave the fused order as it is."""


class OnnxRerankConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="onnx"):
    """A cross-encoder in this process: a shipped name, a local folder, or a hub id that was exported here."""

    model: str = "rerank-minilm-l6"
    depth: Depth = 15
    """How many candidates are read; the others follow in fused order."""
    weight: Share = 0.5
    """The share of the cross-encoder's score in the blend with the fused one."""
    likeness: Share = 0.3
    """The share, in the fused score, of how close a passage is to the best two found; 0 leaves that score as it is."""
    remembered_pairs: Pairs = 20_000
    """The scores of that many pairs of question and passage are kept, at about 200 bytes each; 0 keeps none."""
    n_sessions: Annotated[int, Meta(ge=0)] = 0
    """Single-thread sessions side by side; 0 is one for each core."""


class HttpRerankConfig(Endpoint, frozen=True, kw_only=True, tag_field="kind", tag="http"):
    """A remote cross-encoder at `base_url`/rerank: of Cohere's shape (Jina, vLLM, Infinity, ...) or of TEI's own."""

    dialect: Dialect = "cohere"
    revision: str = ""
    depth: Depth = 15
    weight: Share = 0.5
    remembered_pairs: Pairs = 20_000
    batch_passages: Annotated[int, Meta(ge=1, le=1000)] = 32
    """Passages of one call; TEI refuses more than 32 unless told otherwise."""


RerankConfig = NoRerankConfig | OnnxRerankConfig | HttpRerankConfig
