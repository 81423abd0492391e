import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.bench.load.figures import Sample, figures, percentile
from rag.bench.load.plan import Closed, Lane, Plan, Request

LANE = Lane(name="l", requests=(Request(path="/"),), arrivals=Closed(clients=1))
PLAN = Plan(host="h", port=1, lanes=(LANE,), seconds=10, warm_up_s=2)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_was_measured_and_the_smallest_that_will_do(values, share):
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) * (1 - 1e-9)
    assert sum(value < found for value in ordered) < share * len(ordered)


def test_latency_begins_when_the_request_was_due_and_not_when_it_was_sent_late():
    told = figures(LANE, PLAN, [Sample(due_s=103.0, sent_s=107.0, ended_s=108.0, status=200, first_s=107.5)], 100.0)
    assert (told.latency.p50, told.first.p50, told.lag.p50) == (5000.0, 4500.0, 4000.0)


def test_what_began_in_the_warm_up_is_not_counted_and_throughput_is_what_ended_in_time():
    samples = [
        Sample(100.5, 100.5, 101.0, 200),
        Sample(101.5, 101.5, 102.5, 200),
        Sample(103.0, 103.0, 104.0, 200),
        Sample(111.5, 111.5, 113.0, 200),
    ]
    told = figures(LANE, PLAN, samples, 100.0)
    assert (told.n_good, told.per_s) == (2, 0.2)
    assert told.latency.longest == 1500.0


def test_refusals_are_figures_and_errors_are_counted_even_from_the_warm_up():
    samples = [
        Sample(103.0, 103.0, 103.01, 503, tells_wait=True),
        Sample(104.0, 104.0, 104.02, 503),
        Sample(100.1, 100.1, 101.0, error="timeout"),
    ]
    told = figures(LANE, PLAN, samples, 100.0)
    assert (told.n_good, told.n_refused, told.n_refused_without_wait) == (0, 2, 1)
    assert told.refused.longest == pytest.approx(20.0)
    assert told.errors == {"timeout": 1}
    assert told.latency is None
