"""What is learned from answers that were made anyway."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.risk import Ledger, Observation, agree, upper_bound
from tests.serve.stage import ANSWER, CITATION


@pytest.mark.parametrize(
    ("n_wrong", "n", "expected"),
    [(0, 0, 1.0), (0, 1, 0.95), (0, 59, 0.0495), (0, 299, 0.00997), (1, 10, 0.394), (5, 100, 0.1023), (3, 3, 1.0)],
)
def test_the_bound_is_clopper_and_pearsons(n_wrong: int, n: int, expected: float) -> None:
    assert upper_bound(n_wrong, n) == pytest.approx(expected, rel=2e-3)


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_bound_lies_above_the_share_and_falls_with_more_right_ones(n_wrong: int, n_right: int) -> None:
    bound = upper_bound(n_wrong, n_wrong + n_right)
    assert n_wrong / (n_wrong + n_right) < bound <= 1
    assert upper_bound(n_wrong, n_wrong + n_right + 1) < bound


def loose(similarity: float, *, right: bool = True) -> Observation:
    return Observation(similarity, "loose", right)


def test_nothing_loose_is_served_before_enough_was_seen() -> None:
    ledger = Ledger(0.01)
    for _ in range(298):
        ledger.observe(b"e", loose(0.9))
    assert not ledger.admits(b"e", 0.99, "loose")
    ledger.observe(b"e", loose(0.9))
    assert ledger.admits(b"e", 0.9, "loose")
    assert not ledger.admits(b"e", 0.89, "loose"), "of less alike ones nothing is known"
    assert ledger.admits(b"e", 0.1, "strict"), "strict ones need no licence"


def test_wrong_ones_raise_the_floor_above_them() -> None:
    ledger = Ledger(0.01, [loose(0.95)] * 400 + [loose(0.85)] * 200)
    assert ledger.loose_floor() == 0.85
    for _ in range(9):
        ledger.observe(b"e", loose(0.85, right=False))
    assert ledger.loose_floor() == 0.95


def test_an_entry_that_was_wrong_is_not_served_so_again_until_it_is_made_anew() -> None:
    ledger = Ledger(0.5, [loose(0.5)] * 1000)
    ledger.observe(b"bad", Observation(0.9, "strict", False))
    assert not ledger.admits(b"bad", 0.9, "strict")
    assert ledger.admits(b"bad", 0.91, "strict")
    assert ledger.admits(b"good", 0.9, "strict")
    ledger.forget(b"bad")
    assert ledger.admits(b"bad", 0.9, "strict")


@given(st.lists(st.tuples(st.sampled_from([0.8, 0.85, 0.9, 0.95]), st.booleans()), max_size=60), st.floats(0.05, 0.6))
def test_above_the_floor_the_bound_holds(seen: list[tuple[float, bool]], bound: float) -> None:
    ledger = Ledger(bound, [loose(similarity, right=right) for similarity, right in seen])
    floor = ledger.loose_floor()
    above = [right for similarity, right in seen if similarity >= floor]
    assert floor == math.inf or upper_bound(above.count(False), len(above)) <= bound


def test_estimates_count_by_match() -> None:
    ledger = Ledger(0.01, [loose(0.9), loose(0.9, right=False), Observation(0.9, "strict", True)])
    estimates = ledger.estimates()
    assert (estimates["loose"].n, estimates["loose"].n_wrong, estimates["strict"].n) == (2, 1, 1)


@pytest.mark.parametrize(
    ("fresh", "same"),
    [
        (ANSWER, True),
        (replace(ANSWER, text="14 days [1]."), True),
        (replace(ANSWER, text="30 weeks. [1]"), False),
        (replace(ANSWER, citations=(replace(CITATION, chunk_id="c9"),)), False),
        (replace(ANSWER, stop_reason="insufficient_evidence"), False),
    ],
)
def test_answers_agree_in_words_and_source(fresh: object, same: bool) -> None:
    assert agree(ANSWER, fresh) == same  # type: ignore[arg-type]  # an Answer, as parametrised
