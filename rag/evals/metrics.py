"""Ranking metrics and paired comparison. Pure; they agree with ir-measures to 1e-9 (`tests/evals`)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

Judgements = Mapping[str, int]
"""Document id to its grade; 0 or absent is not relevant."""

RESAMPLES = 2_000
CONFIDENCE = 0.95


class Interval(Struct, frozen=True, kw_only=True):
    """A mean difference with the bounds of its bootstrap interval."""

    mean: float
    low: float
    high: float


def ndcg(ranking: Sequence[str], grades: Judgements, depth: int) -> float:
    """Normalised discounted cumulative gain with linear gains and log2 discounts (Jarvelin and Kekalainen, 2002)."""
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    best = _dcg(ideal[:depth])
    return _dcg([max(0, grades.get(document, 0)) for document in ranking[:depth]]) / best if best else 0.0


def recall(ranking: Sequence[str], grades: Judgements, depth: int) -> float:
    """The share of the relevant documents among the first `depth`."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Judgements, depth: int) -> float:
    """One over the rank of the first relevant document, 0 when it is not among the first `depth`."""
    for rank, document in enumerate(ranking[:depth], start=1):
        if grades.get(document, 0) > 0:
            return 1.0 / rank
    return 0.0


def paired_interval(after: Sequence[float], before: Sequence[float], seed: int = 0) -> Interval:
    """The mean of `after - before` over the same queries with its 95 % percentile bootstrap interval.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3. Deterministic for a seed.
    """
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    if not differences.size:
        return Interval(mean=0.0, low=0.0, high=0.0)
    drawn = np.random.default_rng(seed).integers(0, differences.size, (RESAMPLES, differences.size))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(differences[drawn].mean(axis=1), [tail, 100 - tail])
    return Interval(mean=float(differences.mean()), low=float(low), high=float(high))


def roc_area(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The chance that a positive scores above a negative, ties counting half; 0.5 when either is empty.

    Source: Mann and Whitney, 1947; Hanley and McNeil, 1982.
    """
    if not positives or not negatives:
        return 0.5
    scores = np.concatenate([np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)])
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    n = len(positives)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negatives)))


def _dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
