from hypothesis import given
from hypothesis import strategies as st

from rag.govern.gcra import MINUTE_S, Rate, meter, returned

rates = st.builds(Rate, per_minute=st.integers(1, 6_000), burst=st.none() | st.integers(1, 1_000))


def test_a_burst_passes_at_once_and_then_one_each_step() -> None:
    rate, tat_s = Rate(per_minute=60, burst=3), 0.0
    for n_left in (2, 1, 0):
        verdict = meter(rate, tat_s, now_s=100.0)
        assert (verdict.is_admitted, verdict.n_remaining) == (True, n_left)
        tat_s = verdict.tat_s
    refused = meter(rate, tat_s, now_s=100.0)
    assert not refused.is_admitted
    assert refused.retry_after_s == 1.0
    assert refused.tat_s == tat_s
    assert meter(rate, tat_s, now_s=101.0).is_admitted


def test_more_than_a_burst_never_passes() -> None:
    verdict = meter(Rate(per_minute=60, burst=3), 0.0, now_s=0.0, weight=4)
    assert not verdict.is_admitted
    assert verdict.retry_after_s == float("inf")


def test_what_is_given_back_can_be_used_again() -> None:
    rate = Rate(per_minute=60, burst=10)
    tat_s = meter(rate, 0.0, now_s=50.0, weight=10).tat_s
    assert not meter(rate, tat_s, now_s=50.0).is_admitted
    assert meter(rate, returned(rate, tat_s, 4), now_s=50.0, weight=4).n_remaining == 0


@given(rate=rates, gaps_s=st.lists(st.floats(0, 30), min_size=1, max_size=60), weights=st.data())
def test_no_span_of_time_sees_more_than_its_rate_and_one_burst(
    rate: Rate, gaps_s: list[float], weights: st.DataObject
) -> None:
    now_s, tat_s, admitted = 0.0, 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        weight = weights.draw(st.integers(1, 5))
        verdict = meter(rate, tat_s, now_s, weight)
        tat_s = verdict.tat_s
        if verdict.is_admitted:
            admitted.append((now_s, weight))
    burst = rate.burst or rate.per_minute
    for first, (start_s, _) in enumerate(admitted):
        passed = 0
        for at_s, weight in admitted[first:]:
            passed += weight
            assert passed <= burst + (at_s - start_s) * rate.per_minute / MINUTE_S + 0.01


@given(rate=rates, tat_s=st.floats(0, 1_000), now_s=st.floats(0, 1_000))
def test_what_was_refused_passes_when_it_was_told_to_come_back(rate: Rate, tat_s: float, now_s: float) -> None:
    refused = meter(rate, tat_s, now_s)
    if not refused.is_admitted:
        assert meter(rate, refused.tat_s, now_s + refused.retry_after_s).is_admitted
        earlier_s = now_s + refused.retry_after_s - rate.step_s / 10
        assert earlier_s < now_s or not meter(rate, refused.tat_s, earlier_s).is_admitted
