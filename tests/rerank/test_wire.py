import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import BadDependency
from rerank.wire import body_of, scores_of


def reply(dialect: str, scored: list[tuple[int, float]]) -> bytes:
    if dialect == "tei":
        return json.dumps([{"index": index, "score": score, "text": None} for index, score in scored]).encode()
    results = [{"index": index, "relevance_score": score, "document": {"text": ""}} for index, score in scored]
    return json.dumps({"model": "m", "results": results, "usage": {"total_tokens": 9}}).encode()


@pytest.mark.parametrize("dialect", ["cohere", "tei"])
@given(scores=st.lists(st.floats(-20, 20), max_size=12), chance=st.randoms())
def test_scores_follow_the_index_whatever_the_order_of_the_reply(dialect, scores, chance):
    shuffled = list(enumerate(scores))
    chance.shuffle(shuffled)
    assert scores_of(dialect, reply(dialect, shuffled), len(scores), "m") == scores


@pytest.mark.parametrize("dialect", ["cohere", "tei"])
@pytest.mark.parametrize(
    ("scored", "complaint"),
    [
        ([(0, 1.0)], "1 scores for 2 passages"),
        ([(0, 1.0), (0, 2.0)], "indexes"),
        ([(1, 1.0), (2, 2.0)], "indexes"),
        ([(0, None), (1, 2.0)], "no list of scores"),
    ],
)
def test_a_reply_that_makes_no_sense_is_a_bad_dependency(dialect, scored, complaint):
    with pytest.raises(BadDependency, match=complaint):
        scores_of(dialect, reply(dialect, scored), 2, "m")


@pytest.mark.parametrize(("dialect", "other"), [("cohere", "tei"), ("tei", "cohere")])
def test_the_shape_of_the_other_dialect_is_a_bad_dependency(dialect, other):
    with pytest.raises(BadDependency, match="no list of scores"):
        scores_of(dialect, reply(other, [(0, 1.0)]), 1, "m")


def test_all_scores_are_asked_for():
    assert json.loads(body_of("cohere", "m", "q", ["a", "b"])) == {
        "model": "m",
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 2,
    }
    assert json.loads(body_of("tei", "m", "q", ["a"])) == {
        "query": "q",
        "texts": ["a"],
        "raw_scores": True,
        "truncate": True,
    }
