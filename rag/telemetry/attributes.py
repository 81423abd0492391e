"""What a span says, in the words of others: OpenTelemetry's GenAI conventions and OpenInference, side by side.

GenAI: semantic-conventions-genai 0.1.0, still in development. OpenInference: 0.1.42, which is what Phoenix renders.
What neither has a name for is called `rag.*`. Names of attributes stand here, for models in
`model_attributes`, and in `content`, where texts are put into spans, which is done through `Reveal` only.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from rag.base.answers import Answer, Recall
from rag.base.ids import digest
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Query
from rag.telemetry.content import MAX_DOCUMENTS, documents, input_of, output_of, shown
from rag.telemetry.report import BatchReport
from rag.telemetry.spans import Attribute, Attributes, Reveal

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
SPAN_KIND: Final = "openinference.span.kind"
ERROR_TYPE: Final = "error.type"
FALLBACK: Final = "rag.route.fallback"
REQUEST_ID: Final = "rag.request.id"

_GEN_AI_PROVIDERS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "extractive": "groundwire",
    "onnx": "onnxruntime",
    "torch": "sentence_transformers",
}


class Peer(Struct, frozen=True, kw_only=True):
    """Where a model or a store answers: the kind that the settings name, and its host where it is remote."""

    kind: str
    address: str | None = None
    port: int | None = None


class Reading(Struct, frozen=True, kw_only=True):
    """Passages that were read together with a question: their order before, and after unless that failed."""

    question: str
    before: Sequence[Candidate]
    after: Sequence[Candidate] | None


def http(method: str, route: str, status: int | None, request_id: str) -> Attributes:
    """A request that came in at the door."""
    known: dict[str, Attribute] = {
        "http.request.method": method,
        "http.route": route,
        REQUEST_ID: request_id,
        SPAN_KIND: "CHAIN",
    }
    if status is not None:
        known["http.response.status_code"] = status
    return known


def workflow(query: Query, answer: Answer | None, reveal: Reveal | None) -> Attributes:
    """The answering of one question."""
    known: dict[str, Attribute] = {
        OPERATION: "invoke_workflow",
        "gen_ai.agent.name": "ask",
        SPAN_KIND: "CHAIN",
        REQUEST_ID: query.request_id,
        "user.id": digest("user", query.principal.tenant, query.principal.subject),
    }
    if reveal:
        known |= input_of(query.text, reveal)
    if answer is None:
        return known
    known |= {
        "rag.answer.stop_reason": answer.stop_reason,
        "rag.answer.n_citations": len(answer.citations),
        "rag.answer.model": answer.lineage.model,
    }
    if answer.degraded:
        known["rag.answer.degraded"] = answer.degraded
    if answer.confidence is not None:
        known["rag.answer.confidence"] = answer.confidence
    return {**known, **output_of(answer.text, reveal)} if reveal else known


def cache_lookup(recall: Recall) -> Attributes:
    """A look into the memory of answers. A hit has no chat span beside it, and no usage."""
    facts = {
        "similarity": recall.similarity,
        "entry_age_s": recall.age_s,
        "saved_s": recall.saved_s,
        "saved_usd": recall.saved_usd,
        "rejected_by": recall.rejected_by,
    }
    return {
        SPAN_KIND: "CHAIN",
        "rag.cache.tier": recall.tier or "exact",
        "rag.cache.result": "rejected" if recall.rejected_by else recall.status,
        **{f"rag.cache.{name}": value for name, value in facts.items() if value is not None},
    }


def embeddings(peer: Peer, model: str, dimension: int, texts: Sequence[str], reveal: Reveal | None) -> Attributes:
    """The vectors of some texts; the vectors themselves are never told."""
    known: dict[str, Attribute] = {
        OPERATION: "embeddings",
        PROVIDER: provider(peer),
        REQUEST_MODEL: model,
        RESPONSE_MODEL: model,
        "gen_ai.embeddings.dimension.count": dimension,
        "rag.batch.size": len(texts),
        SPAN_KIND: "EMBEDDING",
        "embedding.model_name": model,
        **server(peer),
    }
    if reveal:
        for at, text in enumerate(texts[:MAX_DOCUMENTS]):
            known[f"embedding.embeddings.{at}.embedding.text"] = shown(text, reveal)
    return known


def retrieval(source: str, request: Retrieval, found: Sequence[Candidate] | None, reveal: Reveal | None) -> Attributes:
    """A search for passages."""
    known: dict[str, Attribute] = {
        OPERATION: "retrieval",
        "gen_ai.data_source.id": source,
        "gen_ai.retrieval.top_k": request.limit,
        SPAN_KIND: "RETRIEVER",
        "rag.retrieval.mode": "hybrid",
        "rag.retrieval.filter_hash": digest(repr(request.access), repr(request.filters))[:16],
    }
    if reveal:
        known |= {"gen_ai.retrieval.query.text": shown(request.text, reveal), **input_of(request.text, reveal)}
    if found is None:
        return known
    scores = [candidate.score for candidate in found[:2]]
    known |= {"rag.retrieval.returned": len(found), "rag.retrieval.empty": not found}
    if scores:
        known["rag.retrieval.top_score"] = scores[0]
    if len(scores) > 1:
        known["rag.retrieval.score_gap"] = scores[0] - scores[1]
    return {**known, **documents("retrieval.documents", found, reveal)}


def scored(peer: Peer, model: str, n_passages: int) -> Attributes:
    """The reading of passages together with a question."""
    return {
        OPERATION: "rerank",
        PROVIDER: provider(peer),
        REQUEST_MODEL: model,
        "gen_ai.rerank.candidate.count": n_passages,
        SPAN_KIND: "RERANKER",
        "reranker.model_name": model,
        **server(peer),
    }


def rerank(peer: Peer, model: str, reading: Reading, reveal: Reveal | None) -> Attributes:
    """The ordering of passages by reading them together with the question; both orders are told."""
    before, after = reading.before, reading.after
    known: dict[str, Attribute] = {
        **scored(peer, model, len(before)),
        "rag.rerank.truncated": len(before) > MAX_DOCUMENTS,
        **documents("reranker.input_documents", before, reveal),
    }
    if reveal:
        known["reranker.query"] = shown(reading.question, reveal)
    if after is None:
        return known
    ranks = {candidate.passage.chunk.id: rank for rank, candidate in enumerate(before)}
    moved = sum(abs(ranks.get(candidate.passage.chunk.id, rank) - rank) for rank, candidate in enumerate(after))
    return {
        **known,
        "gen_ai.rerank.top_n": len(after),
        "reranker.top_k": len(after),
        "rag.rerank.rank_change": moved / max(1, len(after)),
        **documents("reranker.output_documents", after, reveal),
    }


def batch(report: BatchReport) -> Attributes:
    """Work that served several requests at once; the links say which."""
    return {
        SPAN_KIND: "CHAIN",
        "rag.batch.queue": report.queue,
        "rag.batch.size": report.n_items,
        "rag.batch.tokens": report.n_tokens,
        "rag.batch.padded_tokens": report.padded_tokens,
        "rag.batch.wait_s": report.waited_s,
    }


def evaluation(name: str, score: float, label: str) -> Attributes:
    """What an evaluator thought of an answer, in the span that is linked to that answer's."""
    return {
        SPAN_KIND: "EVALUATOR",
        "gen_ai.evaluation.name": name,
        "gen_ai.evaluation.score.value": score,
        "gen_ai.evaluation.score.label": label,
        "annotations.0.annotation.name": name,
        "annotations.0.annotation.score": score,
        "annotations.0.annotation.label": label,
        "annotations.0.annotation.annotator_kind": "CODE",
    }


def provider(peer: Peer) -> str:
    """The provider in GenAI's list of names, or the kind itself where that has none."""
    return _GEN_AI_PROVIDERS.get(peer.kind, peer.kind)


def server(peer: Peer) -> Attributes:
    """Where it answers, if that is known."""
    known: dict[str, Attribute] = {}
    if peer.address is not None:
        known["server.address"] = peer.address
    if peer.port is not None:
        known["server.port"] = peer.port
    return known
