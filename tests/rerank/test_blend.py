import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.blend import SURE, Blend, blended, chances, unit
from tests.shelf import Shelf

TEN = Shelf().candidates("tower", "abcdefghij" * 3, [3, 6, 9, 12, 15, 18, 21, 24, 27])
FUSED = [candidate.score for candidate in TEN]
temperatures = st.sampled_from([None, 0.5, 1.0, 2.0])
ten_scores = st.lists(st.floats(-20, 20), min_size=10, max_size=10)


@given(ten_scores, st.floats(0, 1), temperatures)
def test_a_blend_is_a_permutation_with_falling_scores(scores, weight, temperature) -> None:
    mixed = Blend(weight=weight, temperature=temperature).mixed(FUSED, scores)
    found = blended(TEN, scores, mixed)
    assert all(0 <= score <= 1 for score in mixed)
    assert sorted(c.passage.chunk.id for c in found) == sorted(c.passage.chunk.id for c in TEN)
    assert all(one.score >= other.score for one, other in itertools.pairwise(found))
    assert all(candidate.origin == "blend" for candidate in found)
    assert [candidate.legs[-1].rank for candidate in found] == list(range(1, 11))


@given(st.lists(st.integers(-20, 20), min_size=10, max_size=10), temperatures)
def test_no_weight_keeps_the_fused_order_and_all_weight_takes_the_rerankers(scores, temperature) -> None:
    unread = blended(TEN, scores, Blend(weight=0.0, temperature=temperature).mixed(FUSED, scores))
    assert [c.passage for c in unread] == [c.passage for c in TEN]
    by_score = sorted(range(10), key=lambda index: -scores[index])
    trusted = blended(TEN, scores, Blend(weight=1.0, temperature=temperature).mixed(FUSED, scores))
    assert [c.legs[-2].score for c in trusted] == [scores[index] for index in by_score]


@given(ten_scores, st.floats(0.1, 5), st.floats(-50, 50))
def test_chances_sum_to_one_and_do_not_depend_on_the_level_of_the_scores(scores, temperature, shift) -> None:
    found = chances(scores, temperature)
    assert sum(found) == pytest.approx(1)
    assert chances([score + shift for score in scores], temperature) == pytest.approx(found, abs=1e-6)


def test_a_sure_model_lifts_one_passage_and_an_unsure_one_moves_nothing() -> None:
    blend = Blend(weight=0.5, temperature=1.0)
    sure = [0.0] * 7 + [9.0, 0.0, 0.0]
    found = [candidate.passage for candidate in blended(TEN, sure, blend.mixed(FUSED, sure))]
    assert found == [candidate.passage for candidate in (TEN[7], *TEN[:7], *TEN[8:])]
    unsure = [0.1, 0.2, 0.1, 0.0, 0.2, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert [c.passage for c in blended(TEN, unsure, blend.mixed(FUSED, unsure))] == [c.passage for c in TEN]
    stretched = Blend(weight=0.5).mixed(FUSED, unsure)
    assert [c.passage for c in blended(TEN, unsure, stretched)] != [c.passage for c in TEN], "as min-max does"


EAST, NORTH, BETWEEN = (1.0, 0.0), (0.0, 1.0), (0.8, 0.6)


def test_what_is_like_the_best_two_goes_up_and_the_best_stay() -> None:
    blend = Blend(weight=0.0, likeness=0.4)
    vectors = [EAST, EAST, NORTH, EAST, NORTH, NORTH, NORTH, BETWEEN, NORTH, NORTH]
    found = blended(TEN, [0.0] * 10, blend.mixed(FUSED, [0.0] * 10, vectors))
    assert [candidate.passage for candidate in found[:3]] == [TEN[n].passage for n in (0, 1, 3)]
    places = [candidate.passage for candidate in found]
    assert places.index(TEN[7].passage) < places.index(TEN[5].passage)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=10, max_size=10), ten_scores)
def test_likeness_keeps_scores_between_0_and_1(vectors, scores) -> None:
    assert all(
        0 <= score <= 1 for score in Blend(weight=0.5, temperature=1.0, likeness=0.5).mixed(FUSED, scores, vectors)
    )


def test_without_all_vectors_likeness_counts_for_nothing() -> None:
    scores = [0.0, 3.0, 1.0]
    plain = Blend(weight=0.5, temperature=1.0).mixed(FUSED, scores)
    blend = Blend(weight=0.5, temperature=1.0, likeness=0.5)
    assert blend.mixed(FUSED, scores) == plain
    assert blend.mixed(FUSED, scores, [EAST, *[NORTH] * 8, ()]) == plain
    assert blend.mixed(FUSED, scores, [EAST] * 10) != plain
    assert blend.mixed([], [], []) == []


def test_nothing_stays_nothing_and_equal_values_are_in_the_middle() -> None:
    for temperature in (None, 1.0):
        assert blended([], [], Blend(weight=0.5, temperature=temperature).mixed([], [])) == []
    assert unit([2.0, 2.0]) == [0.5, 0.5]
    assert chances([2.0, 2.0], 1.0) == [0.5, 0.5]


@given(st.integers(0, 60), st.lists(st.floats(-9, 9), min_size=60, max_size=60), temperatures)
def test_rounds_go_on_until_all_are_read_or_one_is_surely_it(n, scores, temperature) -> None:
    blend, stops = Blend(weight=0.5, temperature=temperature), [0]
    while (stop := blend.next_stop(scores[: stops[-1]], n)) > stops[-1]:
        stops.append(stop)
    assert stops[-1] <= n
    if temperature is None:
        assert stops == [0, n] if n else [0]
    elif stops[-1] < n:
        assert max(chances(scores[: stops[-1]], temperature)) >= SURE
    assert len(blend.mixed([1.0] * n, scores[: stops[-1]])) == stops[-1]
