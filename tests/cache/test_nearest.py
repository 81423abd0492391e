"""A matrix without gaps, held against a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cache.nearest import Nearest

DICE = np.random.default_rng(3)
VECTORS = DICE.standard_normal((40, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@given(st.lists(st.integers(0, 39), max_size=120), st.integers(0, 39), st.integers(1, 8))
def test_it_finds_what_comparing_all_would(steps: list[int], asked: int, limit: int) -> None:
    nearest, model = Nearest(8), {}
    for number in steps:  # naming one twice takes it out
        name = bytes([number])
        if name in model:
            nearest.drop(name)
            del model[name]
        else:
            nearest.put(name, VECTORS[number])
            model[name] = float(VECTORS[number] @ VECTORS[asked])
    found = nearest.find(VECTORS[asked], limit)
    expected = sorted(((cosine, name) for name, cosine in model.items()), reverse=True)[:limit]
    assert [name for _, name in found] == [name for _, name in expected]
    assert np.allclose([cosine for cosine, _ in found], [cosine for cosine, _ in expected], atol=1e-6)
    assert len(nearest) == len(model)
