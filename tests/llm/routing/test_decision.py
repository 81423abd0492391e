from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.routing.decision import Candidate, decide, prefix_number

BALANCERS = ["latency", "weighted", "least_in_flight", "cost"]


def one(target: str, **changes) -> Candidate:
    given = {
        "target": target,
        "model": target,
        "tier": 1,
        "listed": "targets",
        "breaker": "closed",
        "weight": 1.0,
        "share": 1.0,
        "n_in_flight": 0,
    }
    return Candidate(**{**given, **changes})


def shares(candidates, balancer, n=4_000, **more):
    rng = Random(5)
    chosen = Counter(candidates[decide(candidates, balancer, rng, **more).chosen].target for _ in range(n))
    return {target: count / n for target, count in chosen.items()}


candidates = st.lists(
    st.builds(
        one,
        target=st.sampled_from("abcdef"),
        tier=st.integers(1, 3),
        weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        share=st.floats(0.1, 1),
        n_in_flight=st.integers(0, 50),
        expected_s=st.none() | st.floats(0, 100),
        cost_usd=st.none() | st.floats(0, 1),
        excluded=st.none() | st.just("breaker"),
    ),
    max_size=6,
    unique_by=lambda candidate: candidate.target,
)


@given(candidates, st.sampled_from(BALANCERS), st.integers(), st.none() | st.integers(0, 2**64 - 1))
def test_the_chosen_one_is_open_and_of_the_lowest_tier_that_has_one(field, balancer, seed, affinity):
    decision = decide(field, balancer, Random(seed), affinity)
    open_ones = [candidate for candidate in field if candidate.excluded is None and candidate.weight > 0]
    assert (decision.chosen is None) == (not open_ones)
    if decision.chosen is not None:
        chosen = decision.candidates[decision.chosen]
        assert (chosen.excluded, chosen.weight > 0) == (None, True)
        assert chosen.tier == min(candidate.tier for candidate in open_ones)
    assert [candidate.target for candidate in decision.candidates] == [candidate.target for candidate in field]


def test_weights_share_the_traffic():
    field = [one("a", weight=3.0), one("b", weight=1.0)]
    assert shares(field, "weighted")["a"] == pytest.approx(0.75, abs=0.03)


def test_a_target_that_is_coming_back_gets_a_part_of_its_share():
    field = [one("a"), one("b", share=0.1)]
    assert shares(field, "weighted")["b"] == pytest.approx(0.1 / 1.1, abs=0.03)


def test_the_least_busy_and_the_cheapest_are_chosen_always():
    assert shares([one("a", n_in_flight=2), one("b", n_in_flight=1)], "least_in_flight") == {"b": 1.0}
    assert shares([one("a", cost_usd=0.2), one("b", cost_usd=0.1), one("c")], "cost") == {"b": 1.0}
    equal = shares([one("a", n_in_flight=1), one("b", n_in_flight=1)], "least_in_flight")
    assert equal["a"] == pytest.approx(0.5, abs=0.03), "chance decides between equals"


def test_of_two_drawn_the_one_with_less_expected_work_is_chosen():
    field = [one("fast", expected_s=0.1), one("slow", expected_s=0.5), one("slower", expected_s=0.9)]
    assert "slower" not in shares(field, "latency")
    busy = [one("fast", expected_s=0.1, n_in_flight=9), one("slow", expected_s=0.5)]
    assert shares(busy, "latency") == {"slow": 1.0}


def test_one_of_which_nothing_is_known_is_tried_and_not_flooded():
    field = [one("known", expected_s=0.3, n_in_flight=4), one("new")]
    assert shares(field, "latency") == {"new": 1.0}
    field = [one("known", expected_s=0.3, n_in_flight=4), one("new", n_in_flight=8)]
    assert shares(field, "latency") == {"known": 1.0}


def test_one_that_is_half_open_is_probed_first():
    field = [one("a", expected_s=0.1), one("b", breaker="half_open", share=0.1, expected_s=2.0)]
    assert shares(field, "latency") == {"b": 1.0}


def test_a_prefix_stays_with_its_target_while_that_keeps_up():
    field = [one(name, expected_s=0.2, n_in_flight=1) for name in "abc"]
    homes = {decide(field, "latency", Random(seed), 42).chosen for seed in range(20)}
    assert len(homes) == 1
    home = homes.pop()
    busy = list(field)
    busy[home] = one("abc"[home], expected_s=0.2, n_in_flight=9)
    assert decide(busy, "latency", Random(1), 42).chosen != home
    spread = Counter(decide(field, "latency", Random(1), number).chosen for number in range(600))
    assert all(150 <= count <= 250 for count in spread.values())


def test_when_a_target_goes_only_its_own_prefixes_move():
    field = [one(name) for name in "abcd"]
    for number in range(200):
        before = decide(field, "latency", Random(1), number).chosen
        after = decide([*field[:3], one("d", excluded="breaker")], "latency", Random(1), number).chosen
        assert before in (after, 3)


def test_prefixes_of_different_tenants_are_different():
    assert prefix_number("acme", "x") == prefix_number("acme", "x") != prefix_number("other", "x")
