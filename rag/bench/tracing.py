"""What a trace costs: processor time of one question with tracing off, not sampled, kept, and kept with redacted texts.

The recipe is the real one over ports that answer at once, so that little else is measured. By turns, in one thread.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from statistics import median

import numpy as np
from msgspec import Struct

from rag.base.deadline import Deadline
from rag.base.ports import Retrieval, Vectors
from rag.base.types import (
    Candidate,
    Chunk,
    Finished,
    ModelEvent,
    Passage,
    Principal,
    Prompt,
    Query,
    Role,
    TextDelta,
    Usage,
    Work,
)
from rag.govern.redact import redactor
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rag.telemetry.attributes import Peer
from rag.telemetry.config import TracingConfig
from rag.telemetry.tracing import Tracing

MODES = {
    "off": TracingConfig(enabled=False),
    "not sampled": TracingConfig(sample=0.0),
    "kept": TracingConfig(),
    "kept, with redacted texts": TracingConfig(content="redacted"),
}
_QUERY = Query(text="How long is parental leave?", principal=Principal(subject="ann", tenant="acme"), request_id="r1")
_N_CANDIDATES = 50


class Cost(Struct, frozen=True, kw_only=True):
    """Microseconds of processor time for one question, and how many of them are the trace's."""

    mode: str
    question_us: float
    trace_us: float


def measure(rounds: int, questions: int) -> list[Cost]:
    """The median over rounds of the mean over questions, of each mode."""
    recipes = {mode: _recipe(config) for mode, config in MODES.items()}
    spent_us: dict[str, list[float]] = {mode: [] for mode in MODES}
    with asyncio.Runner() as runner:
        for _ in range(rounds):
            for mode, (answerer, tracing) in recipes.items():
                spent_us[mode].append(runner.run(_asked(answerer, tracing, questions)))
    off_us = median(spent_us["off"])
    return [
        Cost(mode=mode, question_us=median(spent), trace_us=median(spent) - off_us) for mode, spent in spent_us.items()
    ]


async def _asked(answerer: Answerer, tracing: Tracing, questions: int) -> float:
    """Microseconds of processor time a question."""
    answers, tracer = tracing.answers(answerer), tracing.tracer
    started_ns = time.thread_time_ns()
    for _ in range(questions):
        with tracer.request("POST /ask", "server") if tracer else nullcontext():
            async for _ in answers.answer(_QUERY, Deadline.after(60), stream=True):
                pass
    return (time.thread_time_ns() - started_ns) / questions / 1e3


def _recipe(config: TracingConfig) -> tuple[Answerer, Tracing]:
    tracing = Tracing(config, redactor(), lambda _: None)
    searcher = Searcher(
        tracing.embedder(_Embedder(), Peer(kind="onnx")),
        tracing.retriever(_Retriever(), "bench"),
        tracing.reranker(_Reranker(), Peer(kind="onnx")),
        AnswerConfig(model="model"),
    )
    model = tracing.model(_Model(), Peer(kind="openai", address="api.example.com", port=443))
    models = {"model": model, EXTRACTIVE: model}
    writing = AnswerConfig(model="model", context_tokens=500)
    return Answerer(searcher, models, Profiles(writing), count=len, index="bench"), tracing


class _Embedder:
    name = "embedder"
    dimension = 384
    max_length_tokens = 256

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        return np.ones((len(texts), 384), dtype=np.float32)


class _Retriever:
    def __init__(self) -> None:
        self._found = [_candidate(number) for number in range(_N_CANDIDATES)]

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        return self._found[: request.limit]


class _Reranker:
    name = "reranker"
    scores_are_logits = True

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        return [0.0] * len(passages)

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        return list(reversed(candidates))[:limit]


class _Model:
    name = "model"

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        for _ in range(20):
            yield TextDelta(text="It is fourteen weeks. ")
        yield Usage(input_tokens=prompt.n_tokens, output_tokens=100)
        yield Finished(reason="stop", model=self.name)


def _candidate(number: int) -> Candidate:
    text = f"Passage {number}. " + "Parental leave is fourteen weeks for everyone who works here. " * 8
    chunk = Chunk(
        id=f"c{number}", document_id=f"d{number}", ordinal=0, text=text, start=0, stop=len(text), n_tokens=100
    )
    when = datetime(2026, 1, 1, tzinfo=UTC)
    passage = Passage(chunk=chunk, uri=f"file:///{number}", title="Leave", version="v1", format="text", updated_at=when)
    return Candidate(passage=passage, score=1 / (1 + number), origin="fused")
