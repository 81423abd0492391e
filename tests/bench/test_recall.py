"""`rag bench recall`: every kind of lookup is timed, and held against its bound."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from rag.base.errors import Unavailable
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Work
from rag.bench.recall import ROUNDS, Times, findings, measure
from rag.pipeline.config import AnswerConfig
from rag.pipeline.search import Searcher
from tests.fakes import HashingEmbedder, ReversingReranker
from tests.shelf import Shelf

QUESTIONS = [f"When was the old stone bridge over the river {name} built?" for name in ("Aare", "Emme", "Reuss")]
TIMES = Times(bare=[5.0], more=[0.5], more_cpu=[0.4], exact=[0.1] * 100, reworded=[8.0], n_reworded=1)


class Shelved:
    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = candidates

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        return [*self._candidates]


def searcher(candidates: Sequence[Candidate]) -> Searcher:
    return Searcher(HashingEmbedder(), Shelved(candidates), ReversingReranker(), AnswerConfig())


async def test_hits_other_wordings_and_misses_are_timed() -> None:
    found = Shelf().candidates("bridge", "It was built in 1889. It is long.", [21])
    times = await measure(searcher(found), QUESTIONS, 100)
    asked = len(QUESTIONS) - 1  # the first one is what the others in memory are made of
    assert len(times.bare) == len(times.more) == len(times.more_cpu) == asked
    assert len(times.exact) == ROUNDS * asked
    assert 0 < len(times.reworded) <= times.n_reworded == asked


async def test_nothing_is_measured_where_nothing_is_kept() -> None:
    with pytest.raises(Unavailable, match="not kept"):
        await measure(searcher([]), QUESTIONS, 0)


def test_times_within_their_bounds_hold() -> None:
    assert [finding.holds for finding in findings(TIMES)] == [True] * 3


@pytest.mark.parametrize(
    ("times", "claim"),
    [
        (replace(TIMES, exact=[0.1] * 90 + [1.5] * 10), 0),
        (replace(TIMES, reworded=[11.0, 13.0, 14.0]), 1),
        (replace(TIMES, more=[1.5]), 2),
    ],
)
def test_each_claim_fails_by_its_own_times(times: Times, claim: int) -> None:
    assert [at for at, finding in enumerate(findings(times)) if not finding.holds] == [claim]
