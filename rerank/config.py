"""The settings of the reranker."""

from typing import Annotated

from msgspec import Meta, Struct


class NoRerankConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """Leave the fused order as it is."""


class OnnxRerankConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="onnx"):
    """A cross-encoder in this process: a shipped name or a local folder."""

    model: str = "rerank-minilm-l6"
    depth: Annotated[int, Meta(ge=1, le=200)] = 20
    """How many candidates are read; the others follow in fused order."""
    weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """The share of the cross-encoder's score in the blend with the fused one."""
    n_sessions: Annotated[int, Meta(ge=0)] = 0
    """Single-thread sessions side by side; 0 is one for each core."""


RerankConfig = NoRerankConfig | OnnxRerankConfig
