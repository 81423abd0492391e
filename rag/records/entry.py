"""From what is told of a question to the record of it."""

from collections.abc import Callable

from msgspec.structs import asdict, replace

from rag.records.requests import RequestRecord
from rag.telemetry.told import Told, top_cosine


def entry_of(told: Told, *, trace_id: str | None = None, redact: Callable[[str], str] | None = None) -> RequestRecord:
    """The record; with the texts of question and answer only where `redact` says how they are to be kept."""
    answer, spent = told.answer, told.spent
    record = RequestRecord(
        request_id=told.request_id,
        trace_id=trace_id,
        tenant=told.tenant,
        subject=told.subject,
        kind=told.kind,
        outcome=told.outcome,
        error=told.error,
        model=told.model,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cost_usd=spent.cost_usd,
        duration_s=told.duration_s,
        ttft_s=told.ttft_s,
        question=redact(told.question) if redact and told.question is not None else None,
    )
    if answer is None:
        return record
    return replace(
        record,
        model=answer.lineage.model,
        cache=answer.cache.tier or answer.cache.status,
        stop_reason=answer.stop_reason,
        confidence=answer.confidence,
        top_score=top_cosine(answer),
        n_candidates=len(answer.candidates),
        n_citations=len(answer.citations),
        degraded=answer.degraded,
        stages_s=answer.stages_s,
        lineage=asdict(answer.lineage),
        cited=tuple(dict.fromkeys(citation.document_id for citation in answer.citations)),
        answer=redact(answer.text) if redact else None,
    )
