"""What goes into the store is traced document by document, with the work on it below."""

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.outcome import Failure
from rag.govern.access import managed_in
from rag.telemetry.attributes import Peer
from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedTrace
from rag.telemetry.tracing import Tracing
from rag.traced_indexer import TracedIndexer
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, TOKENIZER, run, work


def traced(**config: object) -> tuple[TracedIndexer, list[FinishedTrace]]:
    kept: list[FinishedTrace] = []
    tracing = Tracing(TracingConfig(**config), str.upper, kept.append)
    assert tracing.tracer is not None
    embedder = tracing.embedder(HashingEmbedder(), Peer(kind="onnx"))
    settings = IngestConfig(chunk_tokens=16, window_documents=4, embed_batch_chunks=3)
    return TracedIndexer(embedder, MemoryStore(), TOKENIZER, settings, tracing.tracer), kept


def drafts(n: int) -> list[Draft]:
    return [Draft(uri=f"file:///{number}", text=f"the cat sat on mat {number}") for number in range(n)]


async def test_a_document_by_itself_has_its_embedding_below_it() -> None:
    indexer, kept = traced()
    await indexer.index(indexer.document(drafts(1)[0], TENANT), work(), managed_in(TENANT))
    (trace,) = kept
    document, embeddings = trace.spans
    assert (document.name, document.attributes["rag.ingest.status"]) == ("index_document", "added")
    assert (document.attributes["rag.ingest.chunks"], "input.value" in document.attributes) == (1, False)
    assert embeddings.parent_id == document.span_id


async def test_a_run_tells_what_became_of_each_document_and_of_all() -> None:
    indexer, kept = traced(content="redacted")
    await run(indexer, [*drafts(6), Failure(uri="file:///gone", reason="it is gone")])
    (trace,) = kept
    root = trace.spans[0]
    assert (root.name, root.attributes["rag.ingest.documents"], root.attributes["rag.ingest.failed"]) == (
        "ingest",
        7,
        1,
    )
    documents = [span for span in trace.spans if span.name == "index_document"]
    assert {span.attributes["input.value"] for span in documents} >= {"FILE:///0", "FILE:///GONE"}
    assert sorted(span.attributes["rag.ingest.status"] for span in documents) == ["added"] * 6 + ["failed"]
    assert {span.parent_id for span in documents} == {root.span_id}


async def test_what_stayed_as_it_was_is_not_worth_a_span_and_a_failure_keeps_the_run() -> None:
    indexer, kept = traced(sample=0.0)
    await run(indexer, drafts(3))
    assert kept == []
    await run(indexer, [*drafts(3), Failure(uri="file:///gone", reason="it is gone")])
    (trace,) = kept
    (failed,) = [span for span in trace.spans if span.name == "index_document"]
    assert failed.attributes["rag.ingest.status"] == "failed"
