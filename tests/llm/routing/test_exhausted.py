import pytest

from llm.failures import failure_behind
from llm.routing.decision import Candidate, Decision
from llm.routing.exhausted import DEFAULT_RETRY_AFTER_S, exhausted
from rag.base.errors import BadDependency, QuotaExceeded, Unavailable, for_the_log


def nobody(*excluded: tuple[str, float | None]) -> Decision:
    candidates = tuple(
        Candidate(
            target=f"t{at}",
            model="m",
            tier=1,
            listed="targets",
            breaker="closed",
            weight=1.0,
            share=1.0,
            n_in_flight=0,
            excluded=reason,
            ready_in_s=ready_in_s,
        )
        for at, (reason, ready_in_s) in enumerate(excluded)
    )
    return Decision(candidates=candidates, chosen=None, reason="every target is excluded")


@pytest.mark.parametrize(
    ("excluded", "error", "retry_after_s", "behind"),
    [
        ([("breaker", 4.0), ("breaker", 2.5)], Unavailable, 2.5, None),
        ([("rate_limited", 9.0), ("used_up", 30.0)], QuotaExceeded, 9.0, None),
        ([("rate_limited", 9.0), ("breaker", 30.0)], Unavailable, 9.0, None),
        ([("rate_limited", 9.0), ("region", None)], QuotaExceeded, 9.0, None),
        ([("quarantined", 60.0), ("quarantined", 40.0)], Unavailable, 40.0, "credentials"),
        ([("context", None), ("context", None)], BadDependency, None, "context_length"),
        ([("context", None), ("abilities", None)], BadDependency, None, "context_length"),
        ([("abilities", None)], Unavailable, DEFAULT_RETRY_AFTER_S, None),
    ],
)
def test_when_nobody_could_be_asked_the_error_says_why_and_when_to_come_back(excluded, error, retry_after_s, behind):
    raised = exhausted("r", [], nobody(*excluded), "too late", is_late=False)
    assert type(raised) is error
    assert getattr(raised, "retry_after_s", None) == retry_after_s
    failure = failure_behind(raised)
    assert (failure and failure.kind) == behind
    assert all(f"t{at}: {reason}" in str(raised) for at, (reason, _) in enumerate(excluded))
    assert "route 'r': too late" in for_the_log(raised)
