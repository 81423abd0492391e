import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.routing.load import TAU_S, Load, PeakEwma


def test_an_average_rises_at_once_and_falls_slowly():
    average = PeakEwma()
    assert average.read_s(0.0) is None
    average.observe(0.1, 0.0)
    average.observe(1.0, 1.0)
    assert average.read_s(1.0) == 1.0
    average.observe(0.1, 2.0)
    assert average.read_s(2.0) == pytest.approx(0.1 + 0.9 * math.exp(-1 / TAU_S))


def test_an_average_that_nobody_feeds_fades_so_that_the_target_is_tried_again():
    average = PeakEwma()
    average.observe(5.0, 0.0)
    assert average.read_s(TAU_S * 4) < 0.1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=50))
def test_an_average_lies_between_nothing_and_the_highest_value(values):
    average, now_s = PeakEwma(), 0.0
    for value_s, wait_s in values:
        now_s += wait_s
        average.observe(value_s, now_s)
    assert 0 <= average.read_s(now_s) <= max(value for value, _ in values) + 1e-9


def test_one_that_has_become_slow_is_seen_to_be_before_its_first_answer():
    load = Load()
    call = load.began(0.0)
    load.spoke(call, 0.1)
    load.ended(call, n_tokens=0, wrote_s=0, now_s=0.1)
    load.began(1.0)
    load.began(2.0)
    assert load.expected_s(0, 2.5) == pytest.approx(1.5)


def test_an_answer_costs_its_first_token_and_each_of_the_others():
    load = Load()
    call = load.began(0.0)
    load.spoke(call, 0.2)
    load.ended(call, n_tokens=100, wrote_s=2.0, now_s=2.2)
    fresh = load.expected_s(50, 2.2)
    assert fresh == pytest.approx(0.2 * math.exp(-2 / TAU_S) + 50 * 0.02)
    assert load.n_in_flight == 0


def test_who_fails_fast_is_not_taken_for_fast():
    load = Load()
    load.penalise(2.0, 0.0)
    assert load.expected_s(0, 0.0) == 2.0
    load.forget()
    assert load.expected_s(0, 0.0) is None
