"""The seams where numbers are taken: around the answerer, around the searcher's port, and at each batch."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from rag.base.answers import Answer, Answered, AnswerEvent
from rag.base.deadline import Clock, Deadline
from rag.base.errors import LoadError, QuotaExceeded
from rag.base.ports import Answers
from rag.base.types import Query, TextDelta
from rag.telemetry import names
from rag.telemetry.coverage import Coverage
from rag.telemetry.metrics import Metrics
from rag.telemetry.spans import sampled_trace_id
from rag.telemetry.spent import SPENT, Spent
from rag.telemetry.told import Told, class_of, outcome_of, outcome_of_error, top_cosine
from rag.telemetry.within import within


class MeasuredAnswers:
    """`Answers` that counts, and tells of each question when it is over: `tell` must not wait and must not raise."""

    def __init__(
        self,
        answers: Answers,
        metrics: Metrics,
        clock: Clock = time.monotonic,
        tell: Callable[[Told], None] = lambda _: None,
    ) -> None:
        self._answers = answers
        self._metrics = metrics
        self._clock = clock
        self._tell = tell
        self._coverage = Coverage(clock)
        metrics.before(self._set_coverage)

    def recall(self, query: Query) -> Answer | None:
        """See `rag.base.ports.Answers`. Only what is found is counted: else `answer` is next, which counts itself."""
        started_s = self._clock()
        answer = self._answers.recall(query)
        if answer is not None:
            spent_s = self._clock() - started_s
            self._over(_told(query, answer, duration_s=spent_s, ttft_s=spent_s, spent=Spent()))
        return answer

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """See `rag.base.ports.Answers`."""
        started_s = self._clock()
        ttft_s: float | None = None
        answer: Answer | None = None
        failure: Exception | None = None
        spent = Spent()
        self._metrics.shift(names.INFLIGHT, 1)
        try:
            answers = self._answers.answer(query, deadline, stream=stream)
            async with aclosing(within(SPENT, spent, answers)) as events:
                async for event in events:
                    if isinstance(event, TextDelta) and ttft_s is None:
                        ttft_s = self._clock() - started_s
                    if isinstance(event, Answered):
                        answer = event.answer
                    yield event
        except Exception as error:
            failure = error
            raise
        finally:
            self._metrics.shift(names.INFLIGHT, -1)
            duration_s = self._clock() - started_s
            self._over(
                _told(query, answer, failure, duration_s=duration_s, ttft_s=ttft_s, spent=spent),
                failure,
            )

    def _over(self, told: Told, failure: Exception | None = None) -> None:
        self._count(told, failure)
        self._tell(told)

    def _count(self, told: Told, failure: Exception | None) -> None:
        metrics = self._metrics
        metrics.add(names.REQUESTS, told.outcome)
        example = sampled_trace_id()
        metrics.observe(names.REQUEST_SECONDS, told.duration_s, trace_id=example)
        if told.ttft_s is not None:
            metrics.observe(names.TTFT_SECONDS, told.ttft_s, trace_id=example)
        if isinstance(failure, LoadError):
            metrics.add(names.SHED, "quota" if isinstance(failure, QuotaExceeded) else "overloaded")
        elif told.error is not None:
            metrics.add(names.ERRORS, told.error)
        if told.answer is not None:
            self._count_answer(told.answer)

    def _set_coverage(self) -> None:
        self._metrics.set(names.DOCUMENTS_USED, len(self._coverage.retrieved), "retrieved")
        self._metrics.set(names.DOCUMENTS_USED, len(self._coverage.cited), "cited")

    def _count_answer(self, answer: Answer) -> None:
        metrics = self._metrics
        self._coverage.see(answer)
        recall = answer.cache
        if recall.status != "off":
            metrics.add(names.CACHE_LOOKUPS, recall.tier or "none", recall.status)
        if recall.rejected_by:
            metrics.add(names.CACHE_REJECTIONS, recall.rejected_by)
        if recall.status == "hit":
            if recall.saved_usd:
                metrics.add(names.COST_SAVED, recall.tier or "none", amount=recall.saved_usd)
            return
        for stage, seconds in answer.stages_s.items():
            metrics.observe(names.STAGE_SECONDS, seconds, stage)
        for stage in answer.degraded:
            metrics.add(names.STAGE_ERRORS, stage)
        if answer.confidence is not None:
            metrics.observe(names.CONFIDENCE, answer.confidence)
        if not answer.candidates:
            metrics.add(names.EMPTY)
        top_score = top_cosine(answer)
        if top_score is not None:
            metrics.observe(names.TOP_SCORE, top_score)


def _told(
    query: Query,
    answer: Answer | None,
    failure: Exception | None = None,
    *,
    duration_s: float,
    ttft_s: float | None,
    spent: Spent,
) -> Told:
    return Told(
        kind="ask",
        request_id=query.request_id,
        tenant=query.principal.tenant,
        subject=query.principal.subject,
        outcome=_outcome(answer, failure),
        error=None if failure is None else class_of(failure),
        model=query.model,
        question=query.text,
        answer=answer,
        duration_s=duration_s,
        ttft_s=ttft_s,
        spent=spent,
    )


def _outcome(answer: Answer | None, failure: Exception | None) -> str:
    """What happened; unless something else did, whoever asked went away."""
    if failure is not None:
        return outcome_of_error(failure)
    return "left" if answer is None else outcome_of(answer)
