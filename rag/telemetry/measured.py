"""The seams where numbers are taken: around the answerer, around the searcher's port, and at each batch."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rag.base.deadline import Clock, Deadline
from rag.base.errors import GroundwireError, LoadError, QuotaExceeded
from rag.base.ports import Answers
from rag.base.types import Answer, Answered, AnswerEvent, Query, TextDelta
from rag.telemetry import names
from rag.telemetry.metrics import Metrics


class MeasuredAnswers:
    """`Answers` that counts: outcomes, durations, stages, cache lookups, tokens."""

    def __init__(self, answers: Answers, metrics: Metrics, clock: Clock = time.monotonic) -> None:
        self._answers = answers
        self._metrics = metrics
        self._clock = clock

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """See `rag.base.ports.Answers`."""
        started_s = self._clock()
        outcome = "left"  # unless something else happens, whoever asked went away
        spoke = False
        self._metrics.shift(names.INFLIGHT, 1)
        try:
            async with aclosing(self._answers.answer(query, deadline, stream=stream)) as events:
                async for event in events:
                    if isinstance(event, TextDelta) and not spoke:
                        spoke = True
                        self._metrics.observe(names.TTFT_SECONDS, self._clock() - started_s)
                    if isinstance(event, Answered):
                        outcome = self._count(event.answer)
                    yield event
        except Exception as error:
            outcome = self._count_error(error)
            raise
        finally:
            self._metrics.shift(names.INFLIGHT, -1)
            self._metrics.add(names.REQUESTS, outcome)
            self._metrics.observe(names.REQUEST_SECONDS, self._clock() - started_s)

    def _count(self, answer: Answer) -> str:
        metrics = self._metrics
        if answer.cache != "off":
            metrics.add(names.CACHE_LOOKUPS, "exact", "hit" if answer.cache == "exact" else "miss")
        if answer.cache == "exact":
            return "cache_hit"
        for stage, seconds in answer.stages_s.items():
            metrics.observe(names.STAGE_SECONDS, seconds, stage)
        for stage in answer.degraded:
            metrics.add(names.STAGE_ERRORS, stage)
        for kind, n_tokens in (("input", answer.usage.input_tokens), ("output", answer.usage.output_tokens)):
            metrics.add(names.LLM_TOKENS, answer.lineage.model, kind, amount=n_tokens)
        if answer.confidence is not None:
            metrics.observe(names.CONFIDENCE, answer.confidence)
        self._count_candidates(answer)
        return "refused" if answer.stop_reason == "insufficient_evidence" else "answered"

    def _count_candidates(self, answer: Answer) -> None:
        if not answer.candidates:
            self._metrics.add(names.EMPTY)
        cosines = [leg.score for each in answer.candidates for leg in each.legs if leg.origin == "dense"]
        if cosines:
            self._metrics.observe(names.TOP_SCORE, max(cosines))

    def _count_error(self, error: Exception) -> str:
        if isinstance(error, LoadError):
            self._metrics.add(names.SHED, "quota" if isinstance(error, QuotaExceeded) else "overloaded")
            return "shed"
        known = isinstance(error, GroundwireError | asyncio.TimeoutError)
        self._metrics.add(names.ERRORS, type(error).__name__ if known else "Unexpected")
        return "error"
