"""How a cross-encoder's scores and the fused scores become one order. Pure."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from rag.base.types import Candidate, LegScore

FIRST_ROUND, NEXT_ROUND = 8, 4
"""How many candidates are read at a time by a model that can tell when it is sure."""

SURE = 0.95
"""The chance of one passage at which reading ends. Of 20 candidates it spares a third on questions that ask for a fact
(squad-dev-1.1) and 2 to 3 % on others; of 502 questions one, of npl, had other passages in its first five for it
(2026-11-23)."""


N_BEST: Final = 2
"""To how many of the best found the others are compared; decision 28 has the figures."""


class Blend(Struct, frozen=True, kw_only=True):
    """`weight x rerank + (1 - weight) x fused`, both 0 to 1 over the candidates.

    The fused scores are min-max normalised. So are the cross-encoder's, unless its card tells a `temperature`: then
    they become the chances, by softmax, that each passage is the one that answers. A small model that is sure of one
    lifts it, and one that is not leaves the order as it was; min-max would stretch both to the same range.

    With `likeness` the fused scores first give way, by that share, to how close each passage is to the best two:
    passages on one subject are wanted together more often than not (the cluster hypothesis, van Rijsbergen 1979; as a
    smoothing of scores, Diaz, CIKM 2005).
    """

    weight: float
    temperature: float | None = None
    likeness: float = 0.0

    def mixed(
        self, fused: Sequence[float], scores: Sequence[float], vectors: Sequence[Sequence[float]] = ()
    ) -> list[float]:
        """The blended score of each candidate that was read: the first of those with these fused scores.

        The fused scores fall; `vectors` are the candidates' own, of unit length. Where there are none, or not of all,
        likeness counts for nothing.
        """
        read = unit(scores) if self.temperature is None else chances(scores, self.temperature)
        places = unit(fused)
        if self.likeness and vectors and all(vectors):
            places = [
                (1 - self.likeness) * place + self.likeness * near
                for place, near in zip(places, nearness(places, vectors), strict=True)
            ]
        return [self.weight * r + (1 - self.weight) * f for r, f in zip(read, places[: len(scores)], strict=True)]

    def next_stop(self, scores: Sequence[float], n_candidates: int) -> int:
        """How many of the candidates to have read next; as many as were read when that is enough."""
        if self.temperature is None or not scores:
            return n_candidates if self.temperature is None else min(FIRST_ROUND, n_candidates)
        if max(chances(scores, self.temperature)) >= SURE:
            return len(scores)
        return min(len(scores) + NEXT_ROUND, n_candidates)


def blended(candidates: Sequence[Candidate], scores: Sequence[float], mixed: Sequence[float]) -> list[Candidate]:
    """The candidates ordered by their blended scores; `scores` are the cross-encoder's. Ties keep the fused order.

    The result has origin "blend", and every candidate has gained the legs "rerank" and "blend".
    """
    by_rerank = _ranks(scores)
    order = sorted(range(len(candidates)), key=lambda index: -mixed[index])
    found = []
    for rank, index in enumerate(order, start=1):
        legs = (
            *candidates[index].legs,
            LegScore(origin="rerank", score=scores[index], rank=by_rerank[index]),
            LegScore(origin="blend", score=mixed[index], rank=rank),
        )
        found.append(replace(candidates[index], score=mixed[index], origin="blend", legs=legs))
    return found


def unit(values: Sequence[float]) -> list[float]:
    """The values on a scale from their lowest, 0, to their highest, 1; equal ones are all in the middle."""
    if not values:
        return []
    low, high = min(values), max(values)
    width = high - low
    return [(value - low) / width if width > 0 else 0.5 for value in values]


def nearness(places: Sequence[float], vectors: Sequence[Sequence[float]]) -> list[float]:
    """How close each is to the first few, which weigh by their places: 1 for the closest of all, 0 for the farthest."""
    rows = np.asarray(vectors, dtype=np.float32)
    best = np.asarray(places[:N_BEST], dtype=np.float32) @ rows[:N_BEST]
    return unit((rows @ best).tolist())


def chances(scores: Sequence[float], temperature: float) -> list[float]:
    """The softmax of the scores: positive, in sum 1. Temperature scaling: Guo et al., ICML 2017."""
    if not scores:
        return []
    highest = max(scores)
    weights = [math.exp((score - highest) / temperature) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def _ranks(values: Sequence[float]) -> list[int]:
    order = sorted(range(len(values)), key=lambda index: -values[index])
    ranks = [0] * len(values)
    for rank, index in enumerate(order, start=1):
        ranks[index] = rank
    return ranks
