"""The settings of the query path."""

from typing import Annotated

from msgspec import Meta, Struct

from rag.base.template import Reference, References

Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]


class AnswerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a question is answered. `model` names an entry of `[models]`; "extractive" is always there."""

    model: str = "extractive"
    prompt: Reference = "answer"
    """What it is asked with; a bare name is its label `production`, or else its newest version."""
    allowed_prompts: tuple[References, ...] = ()
    """What a request may name instead."""
    n_candidates: Annotated[int, Meta(ge=1, le=1000)] = 50
    """How many fused candidates the reranker may see."""
    context_tokens: Count = 1_500
    max_tokens: Count = 512
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    rerank_share: Share = 0.5
    """The share of the time left that reranking may take before the fused order is used instead."""
    model_share: Share = 0.9
    """The share of the time left that the model may take; the rest is for the extractive answer if it fails."""
