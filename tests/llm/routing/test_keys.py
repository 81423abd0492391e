from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.allowance import Allowance, Allowances
from llm.routing.keys import COOL_S, MAX_COOL_S, MAX_QUARANTINE_S, QUARANTINE_S, Key, bar_of, pick
from tests.fakes import ScriptedModel

RNG = Random(3)


def a_key(label: str = "blue") -> Key:
    return Key(label, ScriptedModel("x"))


def test_a_rate_limit_cools_for_as_long_as_the_provider_says():
    key = a_key()
    key.cool(7.0, 0.0, RNG)
    reason, left_s = key.bar(10, 1.0)
    assert reason == "rate_limited"
    assert 6.0 <= left_s <= 6.7
    assert key.bar(10, 7.8) is None


@pytest.mark.parametrize("hint_s", [None, 0.0])
def test_a_rate_limit_that_does_not_say_how_long_waits_longer_each_time(hint_s):
    key, now_s, waits = a_key(), 0.0, []
    for _ in range(8):
        key.cool(hint_s, now_s, RNG)
        waits.append(key.bar(1, now_s)[1])
        now_s += waits[-1]
    assert waits == [COOL_S, 2, 4, 8, 16, 32, MAX_COOL_S, MAX_COOL_S]


def test_refusals_of_calls_that_were_out_together_count_once():
    key = a_key()
    for _ in range(50):
        key.cool(None, 0.0, RNG)
    assert key.bar(1, 0.0) == ("rate_limited", COOL_S)


def test_a_lie_of_an_hour_is_not_believed():
    key = a_key()
    key.cool(3600.0, 0.0, RNG)
    assert key.bar(1, 0.0)[1] == MAX_COOL_S


def test_quarantine_lets_one_call_try_and_doubles_when_that_fails():
    key = a_key()
    key.quarantine(0.0)
    assert key.bar(1, QUARANTINE_S - 1)[0] == "quarantined"
    assert key.bar(1, QUARANTINE_S) is None
    key.began(1)
    assert key.bar(1, QUARANTINE_S) == ("quarantined", 0.0)
    key.quarantine(QUARANTINE_S)
    key.ended()
    assert key.bar(1, QUARANTINE_S)[1] == 2 * QUARANTINE_S
    key.began(1)
    key.accepted(4 * QUARANTINE_S)
    key.ended()
    assert key.bar(1, 4 * QUARANTINE_S) is None
    key.quarantine(1000.0)
    assert key.bar(1, 1000.0)[1] == QUARANTINE_S, "it had been forgiven"


def test_a_call_that_went_well_does_not_lift_a_bar_that_came_after_it_went_out():
    key = a_key()
    key.cool(5.0, 0.0, RNG)
    key.accepted(1.0)
    assert key.bar(1, 1.0) is not None


def test_a_key_whose_allowance_is_used_up_is_left_alone_before_it_is_refused():
    key = a_key()
    key.told(Allowances(requests=Allowance(2, 30.0), tokens=Allowance(1_000, 30.0)), 0.0)
    assert key.bar(900, 1.0) is None
    assert key.bar(1_100, 1.0) == ("used_up", 29.0)
    key.began(900)
    assert key.bar(900, 1.0) == ("used_up", 29.0)
    key.began(50)
    assert key.bar(10, 1.0) == ("used_up", 29.0), "no requests are left"
    assert key.bar(10, 31.0) is None


def test_the_key_with_the_fewest_calls_is_taken_and_a_prefix_keeps_its_own():
    keys = tuple(a_key(label) for label in ("blue", "green", "red"))
    keys[0].began(1)
    keys[1].began(1)
    assert pick(keys, 1, 0.0) is keys[2]
    assert {pick(keys, 1, 0.0, affinity=number).label for number in range(30)} == {"blue", "green", "red"}
    assert len({pick(keys, 1, 0.0, affinity=7) for _ in range(5)}) == 1


@given(st.lists(st.sampled_from(["free", "cooled", "quarantined", "probing"]), min_size=1, max_size=6))
def test_a_key_is_picked_exactly_when_one_is_free(states):
    keys = tuple(a_key(str(number)) for number in range(len(states)))
    for key, state in zip(keys, states, strict=True):
        if state == "cooled":
            key.cool(10.0, 100.0, RNG)
        elif state == "quarantined":
            key.quarantine(100.0)
        elif state == "probing":
            key.quarantine(0.0)
            key.began(1)
    picked = pick(keys, 1, 101.0)
    assert (picked is not None) == ("free" in states)
    assert (bar_of(keys, 1, 101.0) is None) == ("free" in states)
    assert picked is None or states[int(picked.label)] == "free"


def test_the_strikes_end_at_five_minutes():
    key, now_s = a_key(), 0.0
    for _ in range(20):
        key.quarantine(now_s)
        now_s += key.bar(1, now_s)[1]
    key.quarantine(now_s)
    assert key.bar(1, now_s)[1] == MAX_QUARANTINE_S
