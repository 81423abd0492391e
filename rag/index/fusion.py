"""One order out of several: reciprocal ranks, or scores brought to one scale.

Pure: the same rankings give the same order, ties broken by id.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Generic, TypeVar, assert_never

from msgspec import Struct

from rag.base.types import LegScore, Origin
from rag.index.config import FusionConfig

Id = TypeVar("Id", str, int)

Ranking = Sequence[tuple[Id, float]]
"""(id, score) pairs, each id once; the order of equal scores means nothing."""


class Fused(Struct, Generic[Id], frozen=True, kw_only=True):
    """One id of the fused order, with the legs that found it and its fused score last."""

    id: Id
    score: float
    legs: tuple[LegScore, ...]


def fuse(rankings: Mapping[Origin, Ranking[Id]], config: FusionConfig, limit: int) -> list[Fused[Id]]:
    """The best `limit` ids of all rankings, best first, each once.

    An id scores the sum over the legs that found it of weight x contribution:

    - "rrf": 1 / (k + rank), ranks from 1 (Cormack, Clarke and Büttcher, SIGIR 2009; they use k = 60).
    - "minmax": the score's place between the leg's lowest (0) and highest (1).
    - "dbsf": its place between the leg's mean minus and plus three standard deviations (distribution-based score
      fusion, Mazzeschi 2023), kept within 0 and 1.
    """
    # Two legs of a hundred entries for each question: tuples that sort as they are take a third of the time of keys.
    scores: dict[Id, float] = {}
    legs: dict[Origin, list[tuple[float, Id]]] = {}
    for origin, ranking in rankings.items():
        legs[origin] = ordered = sorted([(-score, found) for found, score in ranking])
        weight = _weight(origin, config)
        for (_, found), part in zip(ordered, contributions([-score for score, _ in ordered], config), strict=True):
            scores[found] = scores.get(found, 0.0) + weight * part
    best = sorted([(-score, found) for found, score in scores.items()])[:limit]
    wanted: dict[Id, list[LegScore]] = {found: [] for _, found in best}
    for origin, ordered in legs.items():
        for rank, (score, found) in enumerate(ordered, 1):
            if found in wanted:
                wanted[found].append(LegScore(origin=origin, score=-score, rank=rank))
    return [_fused(found, -score, rank, wanted[found]) for rank, (score, found) in enumerate(best, 1)]


def contributions(scores: Sequence[float], config: FusionConfig) -> list[float]:
    """What each entry of one leg, best first, adds to the fused score before weighting; never rising along the leg."""
    if not scores:
        return []
    match config.kind:
        case "rrf":
            return [1.0 / (config.k + rank) for rank in range(1, len(scores) + 1)]
        case "minmax":
            low, span = scores[-1], scores[0] - scores[-1]
            return [(score - low) / span for score in scores] if span > 0 else [1.0] * len(scores)
        case "dbsf":
            spread = 3 * pstdev(scores)
            low, span = fmean(scores) - spread, 2 * spread
            return [min(1.0, max(0.0, (score - low) / span)) if span > 0 else 0.5 for score in scores]
        case _ as never:
            assert_never(never)


def _weight(origin: Origin, config: FusionConfig) -> float:
    return config.weights.dense if origin == "dense" else config.weights.bm25


def _fused(found: Id, score: float, rank: int, legs: Sequence[LegScore]) -> Fused[Id]:
    return Fused(id=found, score=score, legs=(*legs, LegScore(origin="fused", score=score, rank=rank)))
