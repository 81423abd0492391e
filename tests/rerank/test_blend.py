import itertools

from hypothesis import given
from hypothesis import strategies as st

from rerank.blend import LONG_QUESTION_WORDS, blend, weight_for
from tests.shelf import Shelf

TEN = Shelf().candidates("tower", "abcdefghij" * 3, [3, 6, 9, 12, 15, 18, 21, 24, 27])
scores = st.lists(st.integers(-20, 20), min_size=10, max_size=10)


@given(scores, st.floats(0, 1))
def test_a_blend_is_a_permutation_with_falling_scores(values: list[int], weight: float) -> None:
    blended = blend(TEN, values, weight)
    assert sorted(c.passage.chunk.id for c in blended) == sorted(c.passage.chunk.id for c in TEN)
    assert all(one.score >= other.score for one, other in itertools.pairwise(blended))
    assert all(candidate.origin == "blend" for candidate in blended)


@given(scores)
def test_no_weight_keeps_the_fused_order_and_all_weight_takes_the_rerankers(values: list[int]) -> None:
    assert [c.passage for c in blend(TEN, values, 0.0)] == [c.passage for c in TEN]
    by_score = sorted(range(10), key=lambda index: -values[index])
    assert [c.legs[-2].score for c in blend(TEN, values, 1.0)] == [values[index] for index in by_score]


def test_an_empty_list_stays_empty() -> None:
    assert blend([], [], 0.5) == []


@given(st.integers(0, 200), st.sampled_from([0.1, 0.5, 1.0]))
def test_long_questions_trust_the_reranker_less_and_never_more(n_words: int, weight: float) -> None:
    given_weight = weight_for("word " * n_words, weight)
    assert 0 <= given_weight <= weight
    assert (given_weight == weight) == (n_words <= LONG_QUESTION_WORDS)
