"""A recorded question holds the telemetry contract: names, kinds, parents, links, attributes."""

import asyncio
import json

import pytest

from rag.base.errors import Unavailable
from rag.telemetry.finished import FinishedTrace
from tests.fakes import ScriptedModel
from tests.telemetry.recorded import TEXT, Recorded, named

KINDS = {
    "POST /ask": "server",
    "invoke_workflow ask": "internal",
    "cache_lookup exact": "internal",
    "embeddings hashing@1": "internal",
    "retrieval shelf": "client",
    "batch retrieve": "client",
    "query_batch shelf": "client",
    "rerank reversing@1": "internal",
    "render_prompt answer.v1": "internal",
    "chat scripted@1": "client",
}
PARENTS = {
    "POST /ask": None,
    "invoke_workflow ask": "POST /ask",
    "cache_lookup exact": "invoke_workflow ask",
    "embeddings hashing@1": "invoke_workflow ask",
    "retrieval shelf": "invoke_workflow ask",
    "batch retrieve": "retrieval shelf",
    "query_batch shelf": "batch retrieve",
    "rerank reversing@1": "invoke_workflow ask",
    "render_prompt answer.v1": "invoke_workflow ask",
    "chat scripted@1": "invoke_workflow ask",
}
REQUIRED = {
    "invoke_workflow": {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.agent.name": "ask",
        "openinference.span.kind": "CHAIN",
    },
    "cache_lookup": {
        "rag.cache.tier": "exact",
        "rag.cache.result": "miss",
        "openinference.span.kind": "CHAIN",
    },
    "embeddings": {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "onnxruntime",
        "gen_ai.request.model": "hashing@1",
        "gen_ai.response.model": "hashing@1",
        "gen_ai.embeddings.dimension.count": 64,
        "rag.batch.size": 1,
        "openinference.span.kind": "EMBEDDING",
        "embedding.model_name": "hashing@1",
    },
    "retrieval": {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "shelf",
        "gen_ai.retrieval.top_k": 50,
        "openinference.span.kind": "RETRIEVER",
        "rag.retrieval.returned": 3,
        "rag.retrieval.empty": False,
        "rag.retrieval.top_score": 1.0,
        "rag.retrieval.score_gap": 0.5,
        "retrieval.documents.0.document.score": 1.0,
        "retrieval.documents.2.document.score": 1 / 3,
    },
    "query_batch": {
        "db.system.name": "qdrant",
        "db.operation.name": "query_batch",
        "db.collection.name": "shelf",
        "db.response.returned_rows": 3,
        "server.address": "qdrant.example.com",
        "server.port": 6333,
    },
    "rerank": {
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": "reversing@1",
        "gen_ai.provider.name": "onnxruntime",
        "gen_ai.rerank.candidate.count": 3,
        "gen_ai.rerank.top_n": 3,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "reversing@1",
        "reranker.top_k": 3,
        "reranker.input_documents.0.document.score": 1.0,
        "reranker.output_documents.2.document.score": 1.0,
        "rag.rerank.truncated": False,
        "rag.rerank.rank_change": 4 / 3,
    },
    "render_prompt": {
        "gen_ai.prompt.name": "answer.v1",
        "openinference.span.kind": "PROMPT",
        "rag.prompt.context_docs": 1,
        "prompt.id": "answer.v1",
    },
    "chat": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "scripted@1",
        "gen_ai.response.model": "scripted@1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.output.type": "text",
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.usage.output_tokens": 6,
        "server.address": "api.example.com",
        "server.port": 443,
        "openinference.span.kind": "LLM",
        "llm.model_name": "scripted@1",
        "llm.provider": "openai",
        "llm.token_count.completion": 6,
        "llm.finish_reason": "stop",
        "rag.route.attempt": 0,
        "rag.route.fallback": False,
    },
}
PRESENT = {
    "render_prompt": {
        "gen_ai.prompt.version",
        "llm.prompt_template.version",
        "rag.prompt.sha256",
        "rag.prompt.tokens_est",
    },
    "retrieval": {"rag.retrieval.filter_hash", "rag.retrieval.mode", "retrieval.documents.0.document.id"},
    "rerank": {"reranker.input_documents.0.document.id", "reranker.output_documents.0.document.id"},
    "chat": {
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cost",
        "llm.cost.total",
        "llm.invocation_parameters",
        "llm.token_count.prompt",
        "llm.token_count.total",
        "llm.token_count.prompt_details.cache_read",
    },
}


@pytest.fixture
async def trace() -> FinishedTrace:
    return await Recorded().one()


def test_every_step_has_its_span_of_its_kind(trace: FinishedTrace) -> None:
    assert {span.name: span.kind for span in trace.spans} == KINDS
    assert len(trace.spans) == len(KINDS), "each of them once"
    assert {span.trace_id for span in trace.spans} == {trace.trace_id}


def test_every_span_stands_below_the_one_that_caused_it(trace: FinishedTrace) -> None:
    names = {span.span_id: span.name for span in trace.spans}
    assert {span.name: names.get(span.parent_id or "") for span in trace.spans} == PARENTS
    bounds = {span.span_id: (span.started_ns, span.started_ns + span.duration_ns) for span in trace.spans}
    for span in trace.spans:
        if span.parent_id is not None:
            (start, stop), (own_start, own_stop) = bounds[span.parent_id], bounds[span.span_id]
            assert start <= own_start <= own_stop <= stop, span.name


@pytest.mark.parametrize("name", REQUIRED)
def test_a_span_says_what_the_contract_asks_for(trace: FinishedTrace, name: str) -> None:
    (span,) = named(trace, name)
    assert {key: span.attributes.get(key) for key in REQUIRED[name]} == REQUIRED[name]
    assert PRESENT.get(name, set()) - span.attributes.keys() == set()


def test_every_span_has_a_kind_that_phoenix_knows(trace: FinishedTrace) -> None:
    known = {"CHAIN", "EMBEDDING", "RETRIEVER", "RERANKER", "PROMPT", "LLM"}
    assert {span.attributes["openinference.span.kind"] for span in trace.spans} == known


def test_no_name_is_invented_where_others_would_take_it_for_a_kind_of_usage(trace: FinishedTrace) -> None:
    """Langfuse makes a type of usage of every other number under `gen_ai.usage`."""
    known = {"input_tokens", "output_tokens", "cost", "cache_read.input_tokens", "cache_write.input_tokens"}
    used = {
        key.removeprefix("gen_ai.usage.") for span in trace.spans for key in span.attributes if "gen_ai.usage" in key
    }
    assert used - known == {"reasoning.output_tokens"}


async def test_without_leave_no_text_is_told(trace: FinishedTrace) -> None:
    told = json.dumps([span.attributes for span in trace.spans])
    assert not [word for word in ("built", "1889", "tall", "ann@", "When") if word in told]


async def test_with_leave_texts_are_told_redacted() -> None:
    trace = await Recorded(content="redacted").one()
    (retrieval,), (rerank,), (chat,) = named(trace, "retrieval"), named(trace, "rerank"), named(trace, "chat")
    assert retrieval.attributes["input.value"] == "When was it built?"
    assert retrieval.attributes["retrieval.documents.0.document.content"] == "It was built in 1889."
    assert rerank.attributes["reranker.query"] == "When was it built?"
    assert rerank.attributes["reranker.output_documents.0.document.content"].endswith("[EMAIL].")
    assert chat.attributes["llm.output_messages.0.message.content"] == "It was built in 1889. [1]"
    assert chat.attributes["llm.input_messages.0.message.role"] == "system"
    parts = json.loads(chat.attributes["gen_ai.output.messages"])[0]["parts"]
    assert parts == [{"type": "text", "content": "It was built in 1889. [1]"}]
    assert "ann@" not in json.dumps([span.attributes for span in trace.spans])


async def test_requests_in_one_batch_share_one_store_span_that_links_to_each() -> None:
    recorded = Recorded()
    await asyncio.gather(
        *(recorded.ask(f"When was tower {number} built?", request_id=f"r{number}") for number in range(8))
    )
    assert recorded.store.n_calls == 1
    assert len(recorded.kept) == 8
    batches = {span.span_id: span for trace in recorded.kept for span in trace.batches}
    store_spans = [span for span in batches.values() if span.name == "query_batch shelf"]
    assert len(store_spans) == 1
    served = {(trace.trace_id, named(trace, "retrieval")[0].span_id) for trace in recorded.kept}
    assert set(store_spans[0].links) == served
    assert store_spans[0].attributes["db.operation.batch.size"] == 8
    assert store_spans[0].trace_id not in {trace.trace_id for trace in recorded.kept}, "it belongs to none of them"


async def test_a_hit_has_no_model_and_no_usage() -> None:
    recorded = Recorded()
    await recorded.ask()
    trace = await recorded.one()
    (lookup,) = named(trace, "cache_lookup")
    assert (lookup.attributes["rag.cache.result"], lookup.attributes["rag.cache.tier"]) == ("hit", "exact")
    assert lookup.attributes["rag.cache.entry_age_s"] >= 0
    assert {span.name for span in trace.spans} == {"POST /ask", "invoke_workflow ask", "cache_lookup exact"}
    assert not [key for span in trace.spans for key in span.attributes if "usage" in key]


async def test_a_fallback_is_a_second_chat_that_names_the_first() -> None:
    trace = await Recorded(ScriptedModel("", failure=Unavailable("down"))).one()
    first, second = named(trace, "chat")
    assert (first.error, first.attributes["error.type"]) == ("Unavailable", "Unavailable")
    assert second.error is None
    assert second.attributes["rag.route.attempt"] == 1
    assert second.attributes["rag.route.fallback"] is True
    assert second.attributes["rag.route.fallback.from"] == "scripted@1"
    assert second.attributes["rag.route.fallback.reason"] == "Unavailable"
    (workflow,) = named(trace, "invoke_workflow")
    assert workflow.attributes["rag.answer.degraded"] == ("generate",)
    assert len(named(trace, "render_prompt")) == 1


async def test_long_lists_and_texts_are_cut() -> None:
    recorded = Recorded(content="redacted")
    recorded.store.candidates = recorded.store.candidates * 20
    trace = await recorded.one()
    retrieval, _ = named(trace, "retrieval")  # the second looks for what is no repeat
    assert retrieval.attributes["rag.retrieval.returned"] == 50
    assert sum(key.endswith("document.id") for key in retrieval.attributes) == 20
    assert TEXT[:21] in retrieval.attributes.values()
