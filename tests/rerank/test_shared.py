"""Which pairs are read, and what comes of it when reading takes time, fails or is given up. In simulated time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded, Unavailable
from rag.base.types import Work
from rerank.shared import SharedScorer, pair_keys
from tests.simulated import now_s, simulate


def work(until_s: float = float("inf")) -> Work:
    return Work(tenant="acme", deadline=Deadline(until_s))


class SlowScorer:
    """Takes a second for each call; a score is the length of question and passage. The calls named fail."""

    name = "slow@1"

    def __init__(self, *failing: int) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.n_cancelled = 0
        self.failing = failing

    async def score(self, question, passages, work):
        self.calls.append(tuple(passages))
        call = len(self.calls)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        if call in self.failing:
            raise Unavailable(f"call {call} failed")
        return wanted(question, passages)


def wanted(question, passages):
    return [100.0 * len(question) + len(passage) for passage in passages]


def shared(scorer: SlowScorer, n_remembered: int = 100) -> SharedScorer:
    return SharedScorer(scorer, n_remembered, now_s)


async def outcome(scorer: SharedScorer, passages, until_s=float("inf")):
    """The scores or the kind of error, and when."""
    try:
        return await scorer.score("q", passages, work(until_s)), now_s()
    except (DeadlineExceeded, Unavailable) as error:
        return type(error), now_s()


def test_what_was_read_is_not_read_again_and_the_order_is_kept() -> None:
    async def scenario() -> None:
        slow = SlowScorer()
        scorer = shared(slow)
        assert await scorer.score("q", ["a", "bb", "a"], work()) == [101, 102, 101]
        assert await scorer.score("q", ["ccc", "bb", "a"], work()) == [103, 102, 101]
        assert await scorer.score("other", ["a"], work()) == [501]
        assert await scorer.score("q", [], work()) == []
        assert slow.calls == [("a", "bb"), ("ccc",), ("a",)]
        assert not scorer._flights

    simulate(scenario())


def test_callers_at_the_same_time_share_the_pairs_they_have_in_common() -> None:
    async def scenario() -> None:
        slow = SlowScorer()
        scorer = shared(slow, n_remembered=0)
        found = await asyncio.gather(*(outcome(scorer, each) for each in (["a", "bb"], ["bb", "ccc"], ["a", "bb"])))
        assert found == [([101, 102], 1.0), ([102, 103], 1.0), ([101, 102], 1.0)]
        assert slow.calls == [("a", "bb"), ("ccc",)]
        assert (await outcome(scorer, ["a"]))[1] == 2.0, "nothing was remembered"

    simulate(scenario())


def test_when_a_reading_fails_its_leader_gets_the_error_and_the_follower_reads_for_itself() -> None:
    async def scenario() -> None:
        slow = SlowScorer(1)
        scorer = shared(slow)
        found = await asyncio.gather(outcome(scorer, ["a"]), outcome(scorer, ["a", "bb"]))
        assert found == [(Unavailable, 1.0), ([101, 102], 2.0)]
        assert slow.calls == [("a",), ("bb",), ("a",)]

    simulate(scenario())


def test_a_reading_goes_on_while_one_caller_waits_and_ends_with_the_last() -> None:
    async def scenario() -> None:
        slow = SlowScorer()
        scorer = shared(slow)
        first, second = (asyncio.create_task(outcome(scorer, ["a"])) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == ([101], 1.0)
        assert slow.n_cancelled == 0
        third = asyncio.create_task(outcome(scorer, ["bb"]))
        await asyncio.sleep(0.5)
        third.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert slow.n_cancelled == 1
        assert await outcome(scorer, ["bb"]) == ([102], 2.5), "nobody boards what is being cancelled"
        assert not scorer._flights

    simulate(scenario())


def test_a_follower_waits_until_its_own_deadline_only() -> None:
    async def scenario() -> None:
        scorer = shared(SlowScorer())
        found = await asyncio.gather(outcome(scorer, ["a"]), outcome(scorer, ["a"], until_s=0.25))
        assert found == [([101], 1.0), (DeadlineExceeded, 0.25)]

    simulate(scenario())


def test_no_more_is_remembered_than_asked_and_the_oldest_goes_first() -> None:
    async def scenario() -> None:
        slow = SlowScorer()
        scorer = shared(slow, n_remembered=2)
        for passages in (["a"], ["bb"], ["a"], ["ccc"], ["a"], ["bb"]):
            await scorer.score("q", passages, work())
        assert slow.calls == [("a",), ("bb",), ("ccc",), ("bb",)]
        assert len(scorer._remembered) == 2

    simulate(scenario())


CALL = st.tuples(
    st.sampled_from(["q", "longer"]),
    st.lists(st.sampled_from(["", "a", "bb", "ccc", "dddd"]), max_size=6),
    st.floats(0, 3),
)


@given(calls=st.lists(CALL, max_size=8), n_remembered=st.integers(0, 4), failing=st.sets(st.integers(1, 4), max_size=2))
def test_everyone_gets_the_scores_of_their_own_pairs_in_order_or_the_error_of_a_call(calls, n_remembered, failing):
    async def scenario() -> None:
        slow = SlowScorer(*failing)
        scorer = shared(slow, n_remembered)

        async def one(question, passages, after_s):
            await asyncio.sleep(after_s)
            try:
                assert await scorer.score(question, passages, work()) == wanted(question, passages)
            except Unavailable:
                assert failing

        await asyncio.gather(*(one(*call) for call in calls))
        assert not scorer._flights
        assert len(scorer._remembered) <= n_remembered

    simulate(scenario())


@pytest.mark.parametrize(
    "other", [("m", "q", "pp"), ("m", "qp", ""), ("mq", "", "p"), ("m", "", "q\0p"), ("m", "Q", "p")]
)
def test_different_pairs_have_different_keys(other):
    model, question, passage = other
    assert pair_keys(model, question, [passage]) != pair_keys("m", "q", ["p"])


def test_text_that_is_no_unicode_has_a_key_too():
    assert len(pair_keys("m", "\ud800", ["\udfff", "\udfff"])[0]) == 16
