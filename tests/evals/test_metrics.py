"""The metrics against values worked out by hand, and against ir-measures where it is installed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evals.metrics import ndcg, paired_interval, recall, reciprocal_rank, roc_area

DOCUMENTS = [f"d{n}" for n in range(12)]
rankings = st.permutations(DOCUMENTS).flatmap(lambda order: st.integers(0, 12).map(lambda n: order[:n]))
grades = st.dictionaries(st.sampled_from([*DOCUMENTS, "absent"]), st.integers(0, 3))


def test_values_worked_out_by_hand() -> None:
    ranking, judged = ["a", "b", "c"], {"b": 2, "c": 1, "z": 1}
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(ranking, judged, 10) == pytest.approx((2 / math.log2(3) + 1 / math.log2(4)) / ideal)
    assert recall(ranking, judged, 2) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, judged, 10) == 0.5
    assert reciprocal_rank(ranking, judged, 1) == 0.0


@given(rankings, grades)
def test_they_agree_with_ir_measures(ranking: list[str], judged: dict[str, int]) -> None:
    ir_measures = pytest.importorskip("ir_measures", reason="the test oracle is part of the dev extra")
    if not any(judged.values()):
        assert ndcg(ranking, judged, 10) == recall(ranking, judged, 10) == 0.0
        return
    qrels = [ir_measures.Qrel("q", document, grade) for document, grade in judged.items()]
    run = [ir_measures.ScoredDoc("q", document, -float(place)) for place, document in enumerate(ranking)]
    wanted = [ir_measures.nDCG @ 10, ir_measures.R @ 10, ir_measures.RR @ 10]
    expected = ir_measures.calc_aggregate(wanted, qrels, run)
    assert ndcg(ranking, judged, 10) == pytest.approx(expected[wanted[0]], abs=1e-9)
    assert recall(ranking, judged, 10) == pytest.approx(expected[wanted[1]], abs=1e-9)
    assert reciprocal_rank(ranking, judged, 10) == pytest.approx(expected[wanted[2]], abs=1e-9)


def test_an_interval_holds_its_mean_and_sees_a_clear_difference() -> None:
    after, before = [0.5 + 0.01 * (n % 7) for n in range(200)], [0.4] * 200
    interval = paired_interval(after, before)
    assert interval.low <= interval.mean <= interval.high
    assert interval.low > 0.1
    assert paired_interval(after, after) == paired_interval([], [])
    assert paired_interval(after, before) == interval, "the same seed gives the same interval"


@given(st.lists(st.integers(0, 5), max_size=15), st.lists(st.integers(0, 5), max_size=15))
def test_the_roc_area_counts_pairs(positives: list[int], negatives: list[int]) -> None:
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    expected = wins / (len(positives) * len(negatives)) if positives and negatives else 0.5
    assert roc_area(positives, negatives) == pytest.approx(expected)
