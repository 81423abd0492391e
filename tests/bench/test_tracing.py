"""`rag bench tracing`: every mode is measured over the whole recipe."""

from rag.bench.tracing import MODES, measure


def test_every_mode_is_measured() -> None:
    costs = measure(rounds=1, questions=2)
    assert [cost.mode for cost in costs] == list(MODES)
    assert all(cost.question_us > 0 for cost in costs)
    assert costs[0].trace_us == 0
