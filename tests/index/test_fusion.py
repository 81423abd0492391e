import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.types import Origin
from rag.index.config import FusionConfig, Weights
from rag.index.fusion import Ranking, contributions, fuse

scores = st.floats(-1e6, 1e6, allow_subnormal=False)
rankings = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), scores, max_size=20).map(
    lambda d: list(d.items())
)
kinds = st.sampled_from(["rrf", "minmax", "dbsf"])
weights = st.builds(Weights, dense=st.floats(0, 5), bm25=st.floats(0, 5))
configs = st.builds(FusionConfig, kind=kinds, k=st.integers(1, 100), weights=weights)


def legs(dense: Ranking[str], bm25: Ranking[str]) -> dict[Origin, Ranking[str]]:
    return {"dense": dense, "bm25": bm25}


@given(rankings, rankings, configs, st.integers(0, 30))
def test_every_id_appears_once_best_first_with_the_legs_that_found_it(
    dense: Ranking[str], bm25: Ranking[str], config: FusionConfig, limit: int
) -> None:
    fused = fuse(legs(dense, bm25), config, limit)
    found = {**dict(dense), **dict(bm25)}
    assert len(fused) == min(limit, len(found))
    assert len({one.id for one in fused}) == len(fused)
    assert [(-one.score, one.id) for one in fused] == sorted((-one.score, one.id) for one in fused)
    for rank, one in enumerate(fused, 1):
        assert one.legs[-1].origin == "fused"
        assert (one.legs[-1].rank, one.legs[-1].score) == (rank, one.score)
        assert {leg.origin: leg.score for leg in one.legs[:-1]} == {
            origin: dict(leg)[one.id] for origin, leg in legs(dense, bm25).items() if one.id in dict(leg)
        }


@given(rankings, rankings, configs, st.randoms())
def test_the_order_in_which_a_store_answers_does_not_matter(
    dense: Ranking[str], bm25: Ranking[str], config: FusionConfig, random: object
) -> None:
    shuffled = list(dense)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert fuse(legs(shuffled, list(reversed(bm25))), config, 50) == fuse(legs(dense, bm25), config, 50)


@given(rankings, rankings, configs, st.integers(0, 20))
def test_a_smaller_limit_gives_a_prefix(
    dense: Ranking[str], bm25: Ranking[str], config: FusionConfig, limit: int
) -> None:
    assert fuse(legs(dense, bm25), config, limit) == fuse(legs(dense, bm25), config, 100)[:limit]


@given(rankings, configs)
def test_contributions_lie_in_0_to_1_and_never_rise(ranking: Ranking[str], config: FusionConfig) -> None:
    parts = contributions(sorted((score for _, score in ranking), reverse=True), config)
    assert all(0 <= part <= 1 for part in parts)
    assert parts == sorted(parts, reverse=True)


def test_reciprocal_ranks_by_hand() -> None:
    fused = fuse(legs([("a", 0.9), ("b", 0.8)], [("b", 7.0), ("c", 5.0)]), FusionConfig(kind="rrf", k=10), 3)
    assert [one.id for one in fused] == ["b", "a", "c"]
    assert math.isclose(fused[0].score, 1 / 12 + 1 / 11)
    assert math.isclose(fused[1].score, 1 / 11)


def test_min_max_by_hand() -> None:
    config = FusionConfig(kind="minmax", weights=Weights(dense=2.0))
    fused = fuse(legs([("a", 0.9), ("b", 0.6), ("c", 0.5)], [("b", 7.0)]), config, 3)
    assert [(one.id, round(one.score, 6)) for one in fused] == [("a", 2.0), ("b", 1.5), ("c", 0.0)]


def test_distributions_by_hand() -> None:
    parts = contributions([3.0, 1.0], FusionConfig(kind="dbsf"))
    assert parts == pytest.approx([(3 - (2 - 3)) / 6, (1 - (2 - 3)) / 6])


def test_equal_scores_are_ordered_by_id() -> None:
    assert [one.id for one in fuse(legs([("b", 1.0), ("a", 1.0)], []), FusionConfig(), 2)] == ["a", "b"]
