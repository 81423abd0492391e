"""All that watches, opened as one: numbers, traces and the request log, and what is put around the parts for them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from tokenizers import Tokenizer

from ingest.config import IngestConfig
from ingest.pipeline import Indexer
from llm.config import ExtractiveConfig, ModelConfig
from llm.routing.report import AttemptReport
from llm.tariff import tariff_of
from rag.base.answers import Recall
from rag.base.health import Health
from rag.base.ports import Answers, ChatModel, Embedder, PassageStore, Reranker
from rag.govern.redact import Redact, finder_of, redactor
from rag.index.config import StoreConfig
from rag.index.embedders.config import EmbedderConfig
from rag.records.database import open_database
from rag.records.entry import entry_of
from rag.records.feedback import FeedbackBook
from rag.records.log import open_request_log
from rag.settings import Settings
from rag.telemetry import names
from rag.telemetry.attributes import Peer
from rag.telemetry.counted import CountedModel, ToldModel
from rag.telemetry.coverage import Counted, corpus_size
from rag.telemetry.measured import MeasuredAnswers
from rag.telemetry.metrics import Metrics
from rag.telemetry.model_attributes import Tried
from rag.telemetry.report import BatchReport
from rag.telemetry.spans import CURRENT, trace_id
from rag.telemetry.spent import price_of
from rag.telemetry.told import Told
from rag.telemetry.traced import Store
from rag.telemetry.tracing import Tracing, open_tracing, peer_of
from rag.traced_indexer import TracedIndexer
from rerank.config import RerankConfig

_BREAKER_STATES = ("closed", "half_open", "open")

Tell = Callable[[Told], None]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Who watches. `feedback` is None where no request log is kept that it could be tied to."""

    metrics: Metrics
    tracing: Tracing
    tell: Tell
    feedback: FeedbackBook | None

    def answers(self, answers: Answers) -> Answers:
        """The same, traced, counted, and told of to the log."""
        return MeasuredAnswers(self.tracing.answers(answers), self.metrics, tell=self.tell)

    def embedder(self, embedder: Embedder, config: EmbedderConfig) -> Embedder:
        """The same, traced."""
        return self.tracing.embedder(embedder, _peer(config))

    def store(self, store: Store, config: StoreConfig) -> Store:
        """The same, traced."""
        return self.tracing.store(store, peer_of("qdrant", getattr(config, "url", None)))

    def indexer(self, embedder: Embedder, store: PassageStore, tokenizer: Tokenizer, config: IngestConfig) -> Indexer:
        """What puts documents into the store, traced."""
        tracer = self.tracing.tracer
        if tracer is None:
            return Indexer(embedder, store, tokenizer, config)
        return TracedIndexer(embedder, store, tokenizer, config, tracer)

    def reranker(self, reranker: Reranker, config: RerankConfig) -> Reranker:
        """The same, traced."""
        return self.tracing.reranker(reranker, _peer(config))

    def model(self, model: ChatModel, config: ModelConfig) -> ChatModel:
        """The same, counted and traced."""
        peer, tariff = _peer(config), None if isinstance(config, ExtractiveConfig) else tariff_of(config)
        return self.tracing.model(CountedModel(model, self.metrics, peer, tariff), peer, price_of(tariff))

    def alias(self, name: str, model: ChatModel, subject_of: Callable[[str], str]) -> ChatModel:
        """The model under its name, with a word to the log for each call that is not a part of answering a question."""
        return ToldModel(name, model, self.tell, subject_of)

    def batch(self, report: BatchReport) -> None:
        """Counts a batch that ran."""
        metrics, queue = self.metrics, report.queue
        metrics.observe(names.BATCH_SIZE, report.n_items, queue)
        metrics.add(names.BATCH_TOKENS, queue, "real", amount=report.n_tokens)
        metrics.add(names.BATCH_TOKENS, queue, "padding", amount=report.padded_tokens - report.n_tokens)
        metrics.observe(names.QUEUE_WAIT, report.waited_s, queue)
        metrics.set(names.QUEUE_DEPTH, report.n_waiting, queue)
        if report.failed:
            metrics.add(names.BATCH_FAILURES, queue)

    def attempt(self, report: AttemptReport) -> None:
        """Counts one call of one target of a route, and notes it in the route's span."""
        note_attempt(report)
        metrics, target = self.metrics, report.target
        metrics.add(names.LLM_ATTEMPTS, target, report.provider, report.model, report.outcome)
        metrics.set(names.BREAKER_STATE, _BREAKER_STATES.index(report.breaker), target)
        if report.first_output_s is not None:
            metrics.observe(names.LLM_FIRST_OUTPUT, report.first_output_s, target)
        if report.failed_over_from is not None and report.failed_over_from != target:
            metrics.add(names.LLM_FALLBACKS, report.failed_over_from, target, str(report.failed_over_for))

    def reply(self, recall: Recall) -> None:
        """Counts a request of the gateway that could be answered from memory."""
        self.metrics.add(names.REPLY_LOOKUPS, recall.status)
        if recall.saved_usd:
            self.metrics.add(names.COST_SAVED, recall.tier or "none", amount=recall.saved_usd)

    def counting(self, store: Counted) -> None:
        """Tells how many documents there are; a store that is away leaves the last number standing."""

        async def count() -> None:
            n_documents = await corpus_size(store)
            if n_documents is not None:
                self.metrics.set(names.DOCUMENTS, n_documents)

        self.metrics.look_up(count)

    def limited(self, limit: Callable[[], int]) -> None:
        """Tells how many questions may be worked on at a time."""
        self.metrics.before(lambda: self.metrics.set(names.CONCURRENCY_LIMIT, limit()))

    def started(self, made_of: tuple[str, str, str], phases_s: Mapping[str, float], health: Health) -> None:
        """Tells what runs (embedder, reranker, index), how long its start took, and from now on whether it is ready."""
        self.metrics.watch(lambda: health.ready)
        self.metrics.set(names.BUILD, 1, version("groundwire"), *made_of)
        for phase, seconds in phases_s.items():
            self.metrics.set(names.STARTUP_SECONDS, seconds, phase)


@asynccontextmanager
async def open_observation(settings: Settings) -> AsyncIterator[Observation]:
    """Everything that watches, as the settings want it; what it still holds at the end is written and sent.

    Raises ConfigError.
    """
    metrics, redact = Metrics(), redactor([finder_of(place) for place in settings.redaction.finders])
    lost = partial(_count_lost, metrics)
    async with (
        open_tracing(
            settings.tracing, reveal=redact, version=version("groundwire"), on_drop=partial(lost, "otlp")
        ) as tracing,
        _open_log(settings, redact, partial(lost, "request_log")) as (tell, feedback),
    ):
        yield Observation(metrics=metrics, tracing=tracing, tell=tell, feedback=feedback)


@asynccontextmanager
async def _open_log(
    settings: Settings, redact: Redact, on_drop: Callable[[str, int], None]
) -> AsyncIterator[tuple[Tell, FeedbackBook | None]]:
    """Whom to tell of each question, and where to take feedback."""
    if not settings.request_log.enabled:
        yield (lambda _: None), None
        return
    kept = redact if settings.request_log.content == "redacted" else None
    async with (
        open_database(settings.records, settings.data_dir) as database,
        open_request_log(database, settings.request_log, on_drop) as log,
    ):
        yield (
            lambda told: log.add(entry_of(told, trace_id=trace_id(), redact=kept)),
            FeedbackBook(database, log, redact),
        )


def note_attempt(report: AttemptReport) -> None:
    """Notes an attempt in the span of the route that makes it, which is the open one."""
    span = CURRENT.get()
    if span is not None and span.tried is not None:
        span.tried.append(tried_of(report))


def tried_of(report: AttemptReport) -> Tried:
    """What a route's span tells of an attempt."""
    return Tried(
        target=report.target,
        outcome=report.outcome,
        reason=report.decision.reason,
        breaker=report.breaker,
        is_hedge=report.is_hedge,
        candidates=tuple(candidate.target for candidate in report.decision.candidates),
    )


def _peer(config: EmbedderConfig | RerankConfig | ModelConfig) -> Peer:
    return peer_of(str(config.__struct_config__.tag), getattr(config, "base_url", None))


def _count_lost(metrics: Metrics, sink: str, reason: str, n_records: int) -> None:
    metrics.add(names.LOG_DROPPED, sink, reason, amount=n_records)
