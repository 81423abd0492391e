"""The catalogue is all there is, and a question leaves the right numbers behind."""

import asyncio
import re
from contextlib import nullcontext, suppress
from random import Random

import pytest
from msgspec.structs import replace

from rag.base.answers import Answered, AnswerEvent, Recall
from rag.base.deadline import Deadline
from rag.base.errors import Overloaded, QuotaExceeded, Unavailable
from rag.base.types import Principal, Query, TextDelta
from rag.serve.metrics import counting
from rag.telemetry import names
from rag.telemetry.coverage import WINDOW_S, Coverage, corpus_size
from rag.telemetry.measured import MeasuredAnswers
from rag.telemetry.metrics import Metrics
from tests.serve.stage import ANSWER, EVENTS, StageAnswerer

QUERY = Query(text="When?", principal=Principal(subject="ann", tenant="acme"), request_id="r1")


def values(metrics: Metrics) -> dict[str, float]:
    """By name with labels, buckets left out."""
    lines = metrics.exposition().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#") and "_bucket" not in line]
    return {name: float(value) for name, value in pairs if "_created" not in name}


async def asked(*events: AnswerEvent | Exception) -> dict[str, float]:
    metrics = Metrics()
    measured = MeasuredAnswers(StageAnswerer(events), metrics, clock=iter(range(100)).__next__)
    errors = [event for event in events if isinstance(event, Exception)]
    with pytest.raises(type(errors[0])) if errors else nullcontext():
        async for _ in measured.answer(QUERY, Deadline.after(10), stream=True):
            pass
    return values(metrics)


def test_nothing_is_exported_but_the_catalogue() -> None:
    metrics = Metrics()
    exported = set(re.findall(r"^# TYPE (\S+) ", metrics.exposition().decode(), re.MULTILINE))
    catalogue = {metric.name for metric in names.CATALOGUE}
    assert {name for name in exported if not name.endswith("_created")} == catalogue
    assert len(catalogue) == len(names.CATALOGUE) > 30, "no name twice"
    for metric in names.CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not {"tenant", "user", "query", "trace_id"} & set(metric.labels)


def test_a_recalled_answer_is_counted_once_and_what_is_not_found_not_at_all() -> None:
    metrics, told, inner = Metrics(), [], StageAnswerer()
    measured = MeasuredAnswers(inner, metrics, tell=told.append)
    assert measured.recall(QUERY) is None
    assert (told, values(metrics).get('rag_requests_total{outcome="cache_hit"}', 0)) == ([], 0)
    inner.kept = replace(ANSWER, cache=Recall(status="hit", tier="exact"), stages_s={})
    assert measured.recall(QUERY) is inner.kept
    seen = values(metrics)
    assert seen['rag_requests_total{outcome="cache_hit"}'] == len(told) == 1
    assert seen['rag_cache_lookups_total{result="hit",tier="exact"}'] == 1
    assert seen["rag_ttft_seconds_count"] == seen["rag_request_duration_seconds_count"] == 1
    assert seen["rag_inflight_requests"] == 0
    assert (told[0].answer, told[0].outcome, told[0].question) == (inner.kept, "cache_hit", QUERY.text)


async def test_an_answer_is_counted_with_its_stages() -> None:
    seen = await asked(*EVENTS)
    assert seen['rag_requests_total{outcome="answered"}'] == 1
    assert seen['rag_stage_duration_seconds_sum{stage="search"}'] == pytest.approx(0.01)
    assert seen["rag_retrieval_top_score_sum"] == pytest.approx(0.7)
    assert seen["rag_ttft_seconds_count"] == seen["rag_request_duration_seconds_count"] == 1
    assert seen["rag_inflight_requests"] == 0


@pytest.mark.parametrize(
    ("changes", "series"),
    [
        ({"stop_reason": "insufficient_evidence"}, 'rag_requests_total{outcome="refused"}'),
        ({"cache": Recall(status="hit", tier="exact")}, 'rag_requests_total{outcome="cache_hit"}'),
        ({"cache": Recall(status="hit", tier="exact")}, 'rag_cache_lookups_total{result="hit",tier="exact"}'),
        ({"cache": Recall(status="miss")}, 'rag_cache_lookups_total{result="miss",tier="none"}'),
        ({"cache": Recall(status="miss", rejected_by="evidence")}, 'rag_cache_rejections_total{reason="evidence"}'),
        ({"degraded": ("rerank",)}, 'rag_stage_errors_total{stage="rerank"}'),
        ({"candidates": ()}, "rag_retrieval_empty_total"),
    ],
)
async def test_what_was_special_is_counted(changes: dict[str, object], series: str) -> None:
    assert (await asked(Answered(answer=replace(ANSWER, **changes))))[series] == 1


@pytest.mark.parametrize(
    ("error", "outcome", "series"),
    [
        (Overloaded("full", retry_after_s=1), "shed", 'rag_shed_total{reason="overloaded"}'),
        (QuotaExceeded("used up", retry_after_s=1), "shed", 'rag_shed_total{reason="quota"}'),
        (Unavailable("down"), "error", 'rag_request_errors_total{error_type="Unavailable"}'),
        (ZeroDivisionError("a fault of ours"), "error", 'rag_request_errors_total{error_type="Unexpected"}'),
    ],
)
async def test_an_error_is_counted_by_its_class(error: Exception, outcome: str, series: str) -> None:
    seen = await asked(TextDelta(text="It"), error)
    assert seen[f'rag_requests_total{{outcome="{outcome}"}}'] == 1
    assert seen[series] == 1


async def test_one_who_leaves_is_counted_and_no_longer_in_flight() -> None:
    metrics = Metrics()
    events = MeasuredAnswers(StageAnswerer(), metrics).answer(QUERY, Deadline.after(10), stream=True)
    await anext(events)
    assert values(metrics)["rag_inflight_requests"] == 1
    await events.aclose()
    seen = values(metrics)
    assert seen["rag_inflight_requests"] == 0
    assert seen['rag_requests_total{outcome="left"}'] == 1


def test_readiness_is_asked_when_the_metrics_are() -> None:
    metrics = Metrics()
    ready = [False]
    metrics.watch(lambda: ready[0])
    assert values(metrics)["rag_ready"] == 0
    ready[0] = True
    assert values(metrics)["rag_ready"] == 1


def test_a_histogram_shows_a_trace_as_its_example_to_those_who_can_read_it() -> None:
    metrics = Metrics()
    metrics.observe(names.REQUEST_SECONDS, 0.2, trace_id="a" * 32)
    assert f'# {{trace_id="{"a" * 32}"}} 0.2' in metrics.exposition(openmetrics=True).decode()
    assert "trace_id" not in metrics.exposition().decode()


async def test_documents_are_counted_once_within_the_day() -> None:
    now_s = [0.0]
    coverage = Coverage(lambda: now_s[0])
    for _ in range(3):
        coverage.see(ANSWER)
    assert (len(coverage.retrieved), len(coverage.cited)) == (1, 1)
    now_s[0] += WINDOW_S + 1
    assert (len(coverage.retrieved), len(coverage.cited)) == (0, 0)
    seen = await asked(*EVENTS)
    assert seen['rag_corpus_documents_used{use="cited"}'] == 1


class Counting:
    """A store that has as many documents as it is told, or an error or none of them in time."""

    def __init__(self, found: int | Exception | None) -> None:
        self._found = found

    async def n_documents(self) -> int:
        if self._found is None:
            await asyncio.Event().wait()
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


async def test_a_store_that_cannot_count_holds_nobody_up() -> None:
    assert await corpus_size(Counting(7)) == 7
    assert await corpus_size(Counting(Unavailable("down"))) is None
    assert await corpus_size(Counting(None), patience_s=0.001) is None


async def test_what_memory_saved_is_counted_where_it_is_known() -> None:
    hit = replace(ANSWER, cache=Recall(status="hit", tier="semantic", saved_usd=0.25), stages_s={})
    assert (await asked(Answered(answer=hit)))['rag_cost_saved_usd_total{tier="semantic"}'] == 0.25
    unknown = replace(ANSWER, cache=Recall(status="hit", tier="semantic"), stages_s={})
    assert not [name for name in await asked(Answered(answer=unknown)) if name.startswith("rag_cost_saved")]


async def test_ten_thousand_varied_requests_make_less_than_two_thousand_series() -> None:
    """Whatever callers choose (ids, tenants, questions, paths, errors) is in no label."""
    rng, metrics = Random(7), Metrics()
    answers = [
        replace(ANSWER, cache=Recall(status=status, tier=tier), stop_reason=reason, degraded=degraded)
        for status, tier in (("hit", "exact"), ("hit", "semantic"), ("miss", None), ("off", None))
        for reason in ("stop", "length", "insufficient_evidence")
        for degraded in ((), ("rerank",), ("generate",))
    ]
    errors = [Unavailable("a"), Overloaded("b", retry_after_s=1), QuotaExceeded("c", retry_after_s=1), KeyError("d")]
    counting_ = counting(metrics)
    for number in range(10_000):
        principal = Principal(subject=f"user{number}", tenant=f"tenant{number % 1000}")
        query = replace(QUERY, text=f"question {number}", principal=principal, request_id=f"r{number}")
        event = rng.choice(errors) if rng.random() < 0.2 else Answered(answer=rng.choice(answers))
        measured = MeasuredAnswers(StageAnswerer((event,)), metrics)
        with suppress(Exception):
            async for _ in measured.answer(query, Deadline.after(10), stream=True):
                pass
        scope = {
            "method": "GET",
            "path": f"/documents/{number}",
            "path_template": rng.choice(("/documents/{id}", None)),
        }
        await counting_({"type": "http.response.start", "status": rng.choice((200, 404, 429, 500))}, scope)
        metrics.add(names.BATCH_TOKENS, rng.choice(("embed", "rerank", "retrieve")), "real", amount=number)
    series = [line for line in metrics.exposition().decode().splitlines() if not line.startswith("#")]
    assert 100 < len(series) < 2_000
