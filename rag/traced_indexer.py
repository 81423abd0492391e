"""The recipe of indexing with spans around it: one for a run, and one for each document."""

from functools import partial

from tokenizers import Tokenizer

from ingest.config import IngestConfig
from ingest.outcome import Outcome, Report
from ingest.pipeline import Indexer, Items, Progress
from rag.base.ports import Embedder, PassageStore
from rag.base.types import Access, Document, Work
from rag.telemetry import store_attributes
from rag.telemetry.content import input_of
from rag.telemetry.spans import Attributes, Reveal, Span, Tracer, end

RUN, DOCUMENT = "ingest", "index_document"


class TracedIndexer(Indexer):
    """An `Indexer` that is traced. A run works on many documents at once: their spans tell when each was done."""

    def __init__(
        self, embedder: Embedder, store: PassageStore, tokenizer: Tokenizer, config: IngestConfig, tracer: Tracer
    ) -> None:
        super().__init__(embedder, store, tokenizer, config)
        self._tracer = tracer

    async def index(self, document: Document, work: Work, access: Access | None = None) -> Outcome:
        """See Indexer."""
        with self._tracer.step(DOCUMENT) as span:
            outcome = await super().index(document, work, access)
            span.describe = partial(_told, outcome)
            return outcome

    async def run(self, items: Items, tenant: str, progress: Progress | None = None) -> Report:
        """See Indexer. A run in which a document failed is kept whatever the sampling says."""
        with self._tracer.step(RUN) as span:

            def settled(outcome: Outcome) -> None:
                _settled(span, outcome)
                if progress:
                    progress(outcome)

            report = await super().run(items, tenant, settled)
            span.describe = lambda _: store_attributes.ingestion(report.n_documents, report.failed, report.chunks)
            return report


def _settled(run: Span, outcome: Outcome) -> None:
    """Tells of a document that was changed or could not be; most of a run over the same folder are neither."""
    if outcome.status == "unchanged":
        return
    span = Span(run.trace, DOCUMENT, "internal", run.id, run.trace.tracer.clock())
    span.describe = partial(_told, outcome)
    run.trace.notable = run.trace.notable or outcome.status == "failed"
    end(span)


def _told(outcome: Outcome, reveal: Reveal | None) -> Attributes:
    known = store_attributes.indexed(outcome.document_id, outcome.status, outcome.n_chunks, outcome.n_tokens)
    return {**known, **input_of(outcome.uri, reveal)} if reveal else known
