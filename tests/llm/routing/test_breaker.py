import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.routing.breaker import RAMP_START, Breaker
from llm.routing.config import RoutingConfig

CONFIG = RoutingConfig(
    window_s=10, min_calls=10, failure_share=0.5, consecutive_failures=5, open_s=1, max_open_s=8, probes=2, ramp_s=4
)


def called(breaker: Breaker, verdict: str, now_s: float) -> None:
    breaker.ended(breaker.began(now_s), now_s, verdict)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(CONFIG)
    for _ in range(5):
        called(breaker, "failed", now_s)
    return breaker


def test_failures_in_a_row_open_it_and_a_good_call_between_them_does_not():
    breaker = Breaker(CONFIG)
    for verdict in ["failed"] * 4 + ["ok"] + ["failed"] * 4:
        called(breaker, verdict, 0.0)
    assert breaker.state(0.0) == "closed"
    assert opened().state(0.0) == "open"


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        (["ok", "failed"] * 5, "open"),
        (["ok", "failed"] * 4 + ["ok", "ok"], "closed"),
        (["ok"] * 2 + ["slow"] * 8, "open"),
        (["ok"] * 3 + ["slow"] * 7, "closed"),
        (["ok", "failed"] * 4, "closed"),
        (["void"] * 50, "closed"),
    ],
)
def test_a_share_of_bad_calls_among_enough_of_them_opens_it(verdicts, state):
    breaker = Breaker(CONFIG)
    for number, verdict in enumerate(verdicts):
        called(breaker, verdict, number * 0.1)
    assert breaker.state(1.0) == state


def test_what_lies_further_back_than_the_window_is_forgotten():
    breaker = Breaker(CONFIG)
    for number in range(40):
        called(breaker, "failed" if number % 2 else "ok", number * 5.0)
    assert breaker.state(200.0) == "closed", "two calls within ten seconds are too few to judge by"


def test_half_open_lets_one_call_through_at_a_time_and_enough_good_ones_close_it():
    breaker = opened()
    assert not breaker.admits(0.9)
    assert breaker.admits_in_s(0.4) == pytest.approx(0.6)
    first = breaker.began(1.0)
    assert not breaker.admits(1.0)
    breaker.ended(first, 1.2, "ok")
    assert (breaker.state(1.2), breaker.admits(1.2)) == ("half_open", True)
    called(breaker, "ok", 1.3)
    assert breaker.state(1.3) == "closed"


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_the_limit():
    breaker, now_s, waits = opened(), 0.0, []
    for _ in range(6):
        waits.append(breaker.admits_in_s(now_s))
        now_s += breaker.admits_in_s(now_s)
        called(breaker, "failed", now_s)
    assert waits == [1, 2, 4, 8, 8, 8]


def test_a_probe_that_tells_nothing_makes_room_for_another():
    breaker = opened()
    called(breaker, "void", 1.0)
    assert breaker.state(1.0) == "half_open"
    assert breaker.admits(1.0)


def test_the_share_grows_back_over_the_ramp():
    breaker = opened()
    assert breaker.share(0.5) == RAMP_START
    called(breaker, "ok", 1.0)
    called(breaker, "ok", 1.0)
    assert breaker.share(1.0) == RAMP_START
    assert breaker.share(3.0) == pytest.approx(RAMP_START + (1 - RAMP_START) / 2)
    assert breaker.share(5.0) == 1.0


def test_what_calls_of_before_come_to_says_nothing_about_now():
    breaker = Breaker(CONFIG)
    old = [breaker.began(0.0) for _ in range(20)]
    for _ in range(5):
        called(breaker, "failed", 0.0)
    for era in old[:10]:
        breaker.ended(era, 1.5, "ok")
    assert breaker.state(1.5) == "half_open", "calls that went out before it opened are no probes"
    called(breaker, "ok", 1.5)
    called(breaker, "ok", 1.5)
    for era in old[10:]:
        breaker.ended(era, 1.6, "failed")
    assert breaker.state(1.6) == "closed"


@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["ok", "slow", "failed", "void"]), st.booleans()), max_size=80)
)
def test_whatever_happens_it_never_stays_shut_for_good(steps):
    """After any history, a target whose calls go well is back at its full share before long."""
    breaker, now_s, out = Breaker(CONFIG), 0.0, []
    for wait_s, verdict, is_left_out in steps:
        now_s += wait_s
        if breaker.admits(now_s):
            era = breaker.began(now_s)
            if is_left_out:
                out.append(era)
            else:
                breaker.ended(era, now_s, verdict)
        assert 0 < breaker.share(now_s) <= 1
        assert 0 <= breaker.admits_in_s(now_s) <= CONFIG.max_open_s
    for era in out:
        breaker.ended(era, now_s, "void")
    for _ in range(200):
        now_s += 0.1
        if breaker.admits(now_s):
            called(breaker, "ok", now_s)
    assert breaker.state(now_s) == "closed"
    assert breaker.share(now_s) == 1.0
