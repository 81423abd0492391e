"""What Langfuse wants to be told besides: it reads GenAI and OpenInference, and knows its own names better."""

from typing import Any, Final

from rag.telemetry.attributes import OPERATION, SPAN_KIND
from rag.telemetry.finished import FinishedSpan, FinishedTrace

_TYPES: Final = {
    "CHAIN": "chain",
    "EMBEDDING": "embedding",
    "RETRIEVER": "retriever",
    "RERANKER": "span",
    "PROMPT": "span",
    "LLM": "generation",
    "EVALUATOR": "evaluator",
}


_STEPS: Final = frozenset({OPERATION, "rag.cache.tier", "prompt.id", "gen_ai.evaluation.name"})
"""What spans of the pipeline tell and those of the plumbing do not."""


def observed(trace: FinishedTrace) -> list[FinishedSpan]:
    """The spans that are worth an observation: those of the pipeline, not those of the plumbing, which cost money."""
    return [span for span in trace.spans if not _STEPS.isdisjoint(span.attributes)]


def langfuse_attributes(trace: FinishedTrace, span: FinishedSpan) -> dict[str, Any]:
    """What is added to one span."""
    known: dict[str, Any] = {
        "langfuse.observation.type": _TYPES.get(span.attributes[SPAN_KIND], "span"),
        "langfuse.trace.name": trace.name,
        "langfuse.trace.metadata.request_id": trace.request_id,
    }
    if span.error is not None:
        known |= {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": span.error}
    if trace.owner is not None and "user.id" in span.attributes:
        known["user.id"] = span.attributes["user.id"]
    return known
