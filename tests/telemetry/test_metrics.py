"""The catalogue is all there is, and a question leaves the right numbers behind."""

import re
from contextlib import nullcontext

import pytest
from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.errors import Overloaded, QuotaExceeded, Unavailable
from rag.base.types import Answered, AnswerEvent, Principal, Query, Recall, TextDelta
from rag.telemetry import names
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
    declared = [value for value in vars(names).values() if isinstance(value, names.Metric)]
    assert sorted(metric.name for metric in declared) == sorted(catalogue), "one that is declared is listed"
    for metric in names.CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not {"tenant", "user", "query", "trace_id"} & set(metric.labels)


async def test_an_answer_is_counted_with_its_stages_and_tokens() -> None:
    seen = await asked(*EVENTS)
    assert seen['rag_requests_total{outcome="answered"}'] == 1
    assert seen['rag_stage_duration_seconds_sum{stage="search"}'] == pytest.approx(0.01)
    assert seen['rag_llm_tokens_total{kind="input",model="m"}'] == 20
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
