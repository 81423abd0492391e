from random import Random

from hypothesis import given
from hypothesis import strategies as st

from llm.routing.pacing import BASE_PAUSE_S, JITTER, MAX_PAUSE_S, RetryPurse, pause_s


@given(st.integers(1, 60), st.none() | st.floats(0, 3600), st.integers())
def test_a_pause_is_never_shorter_than_asked_for_and_jitter_only_makes_it_longer(n_failed, hint_s, seed):
    wait_s = pause_s(n_failed, hint_s, Random(seed))
    least_s = max(min(BASE_PAUSE_S * 2 ** (n_failed - 1), MAX_PAUSE_S), hint_s or 0.0)
    assert least_s <= wait_s <= least_s * (1 + JITTER)


@given(st.lists(st.booleans(), max_size=300), st.floats(0, 50), st.floats(0, 1))
def test_the_purse_never_pays_out_more_than_went_in(steps, capacity, ratio):
    purse, n_requests, n_taken = RetryPurse(capacity, ratio), 0, 0
    for is_request in steps:
        if is_request:
            purse.requested()
            n_requests += 1
        else:
            n_taken += purse.take()
    assert n_taken <= capacity + ratio * n_requests + 1e-6
