import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import BadDependency
from rag.index.embedders.wire import body_of, vectors_of


def reply(*rows: tuple[int, list[float]]) -> bytes:
    return json.dumps({"data": [{"index": index, "embedding": row} for index, row in rows], "usage": {}}).encode()


@given(st.lists(st.lists(st.floats(-10, 10).filter(lambda x: abs(x) > 0.01), min_size=3, max_size=3), max_size=9))
def test_vectors_follow_the_index_and_not_the_order_of_the_reply(rows):
    shuffled = list(enumerate(rows))
    random.Random(1).shuffle(shuffled)
    vectors = vectors_of(reply(*shuffled), len(rows), 3, "m")
    assert vectors.shape == (len(rows), 3)
    for vector, row in zip(vectors, rows, strict=True):
        assert vector == pytest.approx(np.array(row) / np.linalg.norm(row), abs=1e-5)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (reply((0, [1.0, 0.0])), "1 vectors for 2 texts"),
        (reply((0, [1.0, 0.0]), (1, [1.0, 0.0]), (2, [1.0, 0.0])), "3 vectors for 2 texts"),
        (reply((0, [1.0, 0.0]), (0, [1.0, 0.0])), "indexes"),
        (reply((1, [1.0, 0.0]), (2, [1.0, 0.0])), "indexes"),
        (reply((0, [1.0, 0.0]), (1, [1.0, 0.0, 0.0])), "vector of 3 numbers; its `dimension` setting says 2"),
        (reply((0, [1.0, 0.0]), (1, [0.0, 0.0])), "zeros"),
        (reply((0, [1.0, 0.0]), (1, [1e39, 1e39])), "finite"),
        (b'{"data": [{"index": 0, "embedding": [null, 1]}]}', "no list of embeddings"),
        (b'{"error": "busy"}', "no list of embeddings"),
        (b"<html>", "no list of embeddings"),
        (b"\xff", "no list of embeddings"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_reply_that_makes_no_sense_is_a_bad_dependency(body, complaint):
    with pytest.raises(BadDependency, match=complaint):
        vectors_of(body, 2, 2, "m")


def test_the_request_is_openais():
    assert json.loads(body_of("m", ["a", "b"], None)) == {"model": "m", "input": ["a", "b"], "encoding_format": "float"}
    assert json.loads(body_of("m", ["a"], 256))["dimensions"] == 256
