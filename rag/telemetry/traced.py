"""The ports with a span around each call. Each wrapper is itself the port; `rag.compose` puts them on."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Protocol

from rag.base.answers import Answer, Answered, AnswerEvent, Recall, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError
from rag.base.ports import (
    Answers,
    Embedder,
    IndexedDocument,
    Page,
    PassageStore,
    Reranker,
    Retrieval,
    Retriever,
    Vectors,
)
from rag.base.types import Access, Candidate, Filters, Passage, Query, Role, Work
from rag.telemetry import attributes, store_attributes
from rag.telemetry.attributes import Peer, Reading
from rag.telemetry.spans import CURRENT, Attributes, Reveal, Span, Tracer, below, end
from rag.telemetry.within import spanned


class Store(PassageStore, Protocol):
    """What a store is to those who search and fill it."""

    @property
    def name(self) -> str:
        """As the lineage of an answer names it."""
        ...

    @property
    def epoch(self) -> int:
        """Grows with every change that a reader can see."""
        ...

    async def search_batch(
        self, requests: Sequence[Retrieval], *, here: bool = False
    ) -> list[list[Candidate] | GroundwireError]:
        """See `rag.index.retriever`."""
        ...


class TracedAnswers:
    """`Answers` in the span `invoke_workflow ask`, with what the cache had to do with it."""

    def __init__(self, answers: Answers, tracer: Tracer) -> None:
        self._answers = answers
        self._tracer = tracer

    def recall(self, query: Query) -> Answer | None:
        """See the port."""
        if CURRENT.get() is None:
            return self._answers.recall(query)
        span = self._tracer.begin("invoke_workflow ask")
        answer = self._answers.recall(query)
        if answer is not None:
            workflow = _Workflow(query, span)
            workflow.note(SourcesFound(sources=answer.sources, cache=answer.cache))
            workflow.note(Answered(answer=answer))
            span.describe = workflow.describe
            end(span)
        return answer

    def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """See the port."""
        events = self._answers.answer(query, deadline, stream=stream)
        if CURRENT.get() is None:
            return events
        span = self._tracer.begin("invoke_workflow ask")
        workflow = _Workflow(query, span)
        span.describe = workflow.describe
        return spanned(span, events, workflow.note)


class _Workflow:
    """What becomes known of the answering of a question."""

    def __init__(self, query: Query, span: Span) -> None:
        self._query = query
        self._span = span
        self._answer: Answer | None = None

    def note(self, event: AnswerEvent) -> None:
        """One more event of it."""
        if isinstance(event, SourcesFound):
            self._looked_up(event.cache)
        elif isinstance(event, Answered):
            self._answer = event.answer
            trace = self._span.trace
            trace.notable = trace.notable or bool(event.answer.degraded)

    def describe(self, reveal: Reveal | None) -> Attributes:
        """In words."""
        return attributes.workflow(self._query, self._answer, reveal)

    def _looked_up(self, recall: Recall) -> None:
        """The lookup was between the start of the workflow and whatever came first after it."""
        if recall.status == "off":
            return
        workflow = self._span
        starts = [span.started_ns for span in workflow.trace.spans if span.parent_id == workflow.id]
        span = below(workflow, f"cache_lookup {recall.tier or 'exact'}")
        span.started_ns, span.ended_ns = workflow.started_ns, min([*starts, span.ended_ns])
        span.describe = lambda _: attributes.cache_lookup(recall)


class TracedEmbedder:
    """An `Embedder` in the span `embeddings {model}`."""

    def __init__(self, embedder: Embedder, tracer: Tracer, peer: Peer) -> None:
        self.name = embedder.name
        self.dimension = embedder.dimension
        self.max_length_tokens = embedder.max_length_tokens
        self._embedder = embedder
        self._tracer = tracer
        self._peer = peer
        self._span = f"embeddings {embedder.name}"

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """See the port."""
        with self._tracer.step(self._span, "internal" if self._peer.address is None else "client") as span:
            span.describe = partial(attributes.embeddings, self._peer, self.name, self.dimension, texts)
            return await self._embedder.embed(texts, role, work)


class TracedRetriever:
    """A `Retriever` in the span `retrieval {index}`."""

    def __init__(self, retriever: Retriever, tracer: Tracer, index: str) -> None:
        self._retriever = retriever
        self._tracer = tracer
        self._index = index
        self._span = f"retrieval {index}"

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        """See the port."""
        with self._tracer.step(self._span, "client") as span:
            found: list[Candidate] | None = None
            try:
                found = await self._retriever.retrieve(request, work)
            finally:
                span.describe = partial(attributes.retrieval, self._index, request, found)
            return found


class TracedStore:
    """A `PassageStore` that searches in batches, with a span around each batch and each change."""

    def __init__(self, store: Store, tracer: Tracer, peer: Peer) -> None:
        self.name = store.name
        self._store = store
        self._tracer = tracer
        self._peer = peer

    @property
    def epoch(self) -> int:
        """See the store."""
        return self._store.epoch

    async def search_batch(
        self, requests: Sequence[Retrieval], *, here: bool = False
    ) -> list[list[Candidate] | GroundwireError]:
        """See `rag.index.retriever`. The span has the links of the batch that it is the work of."""
        parent = CURRENT.get()
        if parent is None:
            return await self._store.search_batch(requests, here=here)
        with self._tracer.step(f"query_batch {self.name}", "client") as span:
            span.links = parent.links
            outcomes = await self._store.search_batch(requests, here=here)
            n_rows = sum(len(outcome) for outcome in outcomes if isinstance(outcome, list))
            span.describe = lambda _: store_attributes.query_batch(self._peer, self.name, len(requests), n_rows)
            return outcomes

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        """See the port."""
        with self._tracer.step(f"put {self.name}", "client") as span:
            n_chunks = sum(len(document.chunks) for document in documents)
            span.describe = lambda _: store_attributes.stored(self._peer, self.name, len(documents), n_chunks)
            await self._store.put(documents)

    async def delete(self, access: Access, filters: Filters) -> int:
        """See the port."""
        with self._tracer.step(f"delete {self.name}", "client") as span:
            n_deleted = await self._store.delete(access, filters)
            span.describe = lambda _: store_attributes.deleted(self._peer, self.name, n_deleted)
            return n_deleted

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """See the port."""
        return await self._store.records(access, filters, limit, cursor)

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        """See the port."""
        return await self._store.passages(access, document_id)


class TracedReranker:
    """A `Reranker` in the span `rerank {model}`."""

    def __init__(self, reranker: Reranker, tracer: Tracer, peer: Peer) -> None:
        self.name = reranker.name
        self.scores_are_logits = reranker.scores_are_logits
        self._peer = peer
        self._reranker = reranker
        self._tracer = tracer
        self._span = f"rerank {reranker.name}"

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See the port."""
        with self._tracer.step(self._span) as span:
            span.describe = lambda _: attributes.scored(self._peer, self.name, len(passages))
            return await self._reranker.score(question, passages, work)

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """See the port."""
        with self._tracer.step(self._span) as span:
            ordered: list[Candidate] | None = None
            try:
                ordered = await self._reranker.rerank(question, candidates, limit, work)
            finally:
                reading = Reading(question=question, before=candidates, after=ordered)
                span.describe = partial(attributes.rerank, self._peer, self.name, reading)
            return ordered
