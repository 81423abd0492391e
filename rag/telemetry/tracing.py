"""All that traces, opened as one: the recorder, what is kept in memory, the way to a collector, and the wrappers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from rag.base.errors import ConfigError
from rag.base.ports import Answers, ChatModel, Embedder, Reranker, Retriever
from rag.base.types import Usage
from rag.telemetry import attributes
from rag.telemetry.attributes import Peer
from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedTrace, finished
from rag.telemetry.hiding import hidden_by
from rag.telemetry.recent import RecentTraces
from rag.telemetry.spans import Point, Reveal, Trace, Tracer
from rag.telemetry.traced import (
    Store,
    TracedAnswers,
    TracedEmbedder,
    TracedReranker,
    TracedRetriever,
    TracedStore,
)
from rag.telemetry.traced_models import SUMMARY, TracedModel, TracedRoute


class Tracing:
    """Puts spans around ports; with tracing off it leaves them as they are. `recent` has the last traces."""

    def __init__(self, config: TracingConfig, reveal: Reveal, send: Callable[[FinishedTrace], None] | None) -> None:
        self.recent = RecentTraces(config.memory_traces)
        self._reveal = reveal if config.content == "redacted" else None
        self._hidden = hidden_by(os.environ)
        self._send = send
        self.tracer = Tracer(self._keep, sample=config.sample, slow_s=config.slow_s) if config.enabled else None

    def answers(self, answers: Answers) -> Answers:
        """The same, traced."""
        return TracedAnswers(answers, self.tracer) if self.tracer else answers

    def embedder(self, embedder: Embedder, peer: Peer) -> Embedder:
        """The same, traced."""
        return TracedEmbedder(embedder, self.tracer, peer) if self.tracer else embedder

    def retriever(self, retriever: Retriever, index: str) -> Retriever:
        """The same, traced."""
        return TracedRetriever(retriever, self.tracer, index) if self.tracer else retriever

    def store(self, store: Store, peer: Peer) -> Store:
        """The same, traced."""
        return TracedStore(store, self.tracer, peer) if self.tracer else store

    def reranker(self, reranker: Reranker, peer: Peer) -> Reranker:
        """The same, traced; one that does nothing is not worth a span."""
        return TracedReranker(reranker, self.tracer, peer) if self.tracer and reranker.name != "none" else reranker

    def model(self, model: ChatModel, peer: Peer, price: Callable[[Usage], float | None] = lambda _: None) -> ChatModel:
        """The same, traced."""
        return TracedModel(model, self.tracer, peer, price) if self.tracer else model

    def route(self, alias: str, route: ChatModel) -> ChatModel:
        """The same, traced."""
        return TracedRoute(alias, route, self.tracer) if self.tracer else route

    def summariser(self, alias: str, model: ChatModel) -> ChatModel:
        """A model or route that a route has histories summarised by, traced as that."""
        return TracedRoute(alias, model, self.tracer, SUMMARY) if self.tracer else model

    def evaluated(self, name: str, score: float, label: str, answer: Point) -> None:
        """Tells what was thought of an answer, in a trace of its own that is linked to the answer's."""
        if self.tracer:
            with self.tracer.request(f"eval {name}", "internal") as span:
                span.links = (answer,)
                span.trace.is_sampled = answer.is_sampled
                span.describe = lambda _: attributes.evaluation(name, score, label)

    def _keep(self, trace: Trace) -> None:
        if self._send is None and not trace.notable and not self.recent.has_room(trace.tracer.clock()):
            return
        told = finished(trace, self._reveal, self._hidden)
        self.recent.add(told)
        if self._send:
            self._send(told)


@asynccontextmanager
async def open_tracing(
    config: TracingConfig, *, reveal: Reveal, version: str, on_drop: Callable[[str, int], None]
) -> AsyncIterator[Tracing]:
    """Tracing as the settings want it. Raises ConfigError where a collector is named and the extra is missing."""
    if not (config.enabled and config.endpoint):
        yield Tracing(config, reveal, None)
        return
    try:
        from rag.telemetry.otlp import exporter_to
    except ImportError as error:
        raise ConfigError("tracing.endpoint needs `pip install groundwire[otel]`", path="tracing.endpoint") from error
    exporter = exporter_to(config, version, on_drop)
    try:
        yield Tracing(config, reveal, exporter.send)
    finally:
        await asyncio.to_thread(exporter.close)


def off() -> Tracing:
    """Tracing that does nothing."""
    return Tracing(TracingConfig(enabled=False), str, None)


def peer_of(kind: str, url: str | None) -> Peer:
    """Where something answers that the settings describe by its kind, and by its URL if it is remote."""
    if url is None:
        return Peer(kind=kind)
    parts = urlsplit(url)
    return Peer(kind=kind, address=parts.hostname, port=parts.port or (443 if parts.scheme == "https" else 80))
