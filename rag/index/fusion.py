"""One order out of several: reciprocal ranks, or scores brought to one scale.

Pure: the same rankings give the same order, ties broken by id.
"""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, pstdev
from typing import assert_never

from msgspec import Struct

from rag.base.types import LegScore, Origin
from rag.index.config import FusionConfig

Ranking = Sequence[tuple[str, float]]
"""(id, score) pairs, each id once; the order of equal scores means nothing."""


class Fused(Struct, frozen=True, kw_only=True):
    """One id of the fused order, with the legs that found it and its fused score last."""

    id: str
    score: float
    legs: tuple[LegScore, ...]


def fuse(rankings: Mapping[Origin, Ranking], config: FusionConfig, limit: int) -> list[Fused]:
    """The best `limit` ids of all rankings, best first, each once.

    An id scores the sum over the legs that found it of weight x contribution:

    - "rrf": 1 / (k + rank), ranks from 1 (Cormack, Clarke and Büttcher, SIGIR 2009; they use k = 60).
    - "minmax": the score's place between the leg's lowest (0) and highest (1).
    - "dbsf": its place between the leg's mean minus and plus three standard deviations (distribution-based score
      fusion, Mazzeschi 2023), kept within 0 and 1.
    """
    scores: dict[str, float] = {}
    ordered = {origin: sorted(ranking, key=_best_first) for origin, ranking in rankings.items()}
    for origin, ranking in ordered.items():
        weight = _weight(origin, config)
        for (found, _), part in zip(ranking, contributions(ranking, config), strict=True):
            scores[found] = scores.get(found, 0.0) + weight * part
    best = sorted(scores.items(), key=_best_first)[:limit]
    legs = _legs(ordered, {found for found, _ in best})
    return [_fused(found, score, rank, legs[found]) for rank, (found, score) in enumerate(best, 1)]


def _best_first(entry: tuple[str, float]) -> tuple[float, str]:
    return -entry[1], entry[0]


def _legs(ordered: Mapping[Origin, Ranking], wanted: Collection[str]) -> dict[str, list[LegScore]]:
    """How each leg scored the wanted ids; the others, most of them, need no objects."""
    legs: dict[str, list[LegScore]] = {found: [] for found in wanted}
    for origin, ranking in ordered.items():
        for rank, (found, score) in enumerate(ranking, 1):
            if found in legs:
                legs[found].append(LegScore(origin=origin, score=score, rank=rank))
    return legs


def contributions(ordered: Ranking, config: FusionConfig) -> list[float]:
    """What each entry of one leg, best first, adds to the fused score before weighting; never rising along the leg."""
    scores = [score for _, score in ordered]
    if not scores:
        return []
    match config.kind:
        case "rrf":
            return [1.0 / (config.k + rank) for rank in range(1, len(scores) + 1)]
        case "minmax":
            return _scaled(scores, min(scores), max(scores), flat=1.0)
        case "dbsf":
            mean, spread = fmean(scores), 3 * pstdev(scores)
            return _scaled(scores, mean - spread, mean + spread, flat=0.5)
        case _ as never:
            assert_never(never)


def _scaled(scores: Sequence[float], low: float, high: float, *, flat: float) -> list[float]:
    span = high - low
    if span <= 0:
        return [flat] * len(scores)
    return [min(1.0, max(0.0, (score - low) / span)) for score in scores]


def _weight(origin: Origin, config: FusionConfig) -> float:
    return config.weights.dense if origin == "dense" else config.weights.bm25


def _fused(found: str, score: float, rank: int, legs: Sequence[LegScore]) -> Fused:
    return Fused(id=found, score=score, legs=(*legs, LegScore(origin="fused", score=score, rank=rank)))
