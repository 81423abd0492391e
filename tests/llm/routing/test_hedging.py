"""Two targets side by side: who wins, what becomes of the other, and who pays."""

import asyncio

import pytest

from llm.routing.config import RouteConfig, RoutingConfig, TargetConfig
from rag.base.errors import BadDependency, Unavailable
from rag.base.types import TextDelta
from tests.llm.routing.targets import Actor, Stage, ordered, refusal, says
from tests.simulated import now_s, simulate

SLOW = says("slow", first_s=5.0)
QUICK = says("quick", first_s=0.1)


def hedged(*names: str, after_s: float = 0.5, **changes) -> RouteConfig:
    return ordered(*names, hedge_after_s=after_s, **changes)


def test_a_target_that_says_nothing_gets_company_and_the_first_to_speak_answers():
    async def scenario():
        slow = Actor("a", SLOW)
        stage = Stage(slow, Actor("b", QUICK), config=hedged("a", "b"))
        assert await stage.ask() == "quick"
        assert now_s() == pytest.approx(0.61, abs=0.05)
        assert slow.n_open == 0
        assert slow.n_cancelled == 1
        assert sorted(stage.told) == [("a", "cancelled"), ("b", "ok")]
        lost = next(report for report in stage.reports if report.target == "a")
        assert lost.input_tokens > 0, "most providers charge for it"
        assert lost.is_estimated
        assert [report.is_hedge for report in stage.reports if report.target == "b"] == [True]

    simulate(scenario())


def test_one_that_speaks_in_time_is_left_alone():
    async def scenario():
        stage = Stage(Actor("a", QUICK), Actor("b", QUICK), config=hedged("a", "b"))
        assert await stage.ask() == "quick"
        assert stage.told == [("a", "ok")]

    simulate(scenario())


@pytest.mark.parametrize(
    "error", [refusal("overload", 503), refusal("rate_limit", 429, 9.0), BadDependency("nonsense")]
)
def test_an_error_never_wins(error):
    """The hedge fails first; the slow one still answers. And the other way round."""

    async def scenario():
        stage = Stage(Actor("a", SLOW), Actor("b", [0.1, error]), config=hedged("a", "b"))
        assert await stage.ask() == "slow"
        stage = Stage(Actor("a", [1.0, error]), Actor("b", says("late", first_s=2.0)), config=hedged("a", "b"))
        assert await stage.ask() == "late"
        assert {report.target: report.outcome for report in stage.reports}["b"] == "ok"

    simulate(scenario())


def test_blanks_and_frames_without_words_do_not_win_either():
    async def scenario():
        blank = Actor("b", [0.1, TextDelta(text=" \n"), 9.0, TextDelta(text="much later")])
        stage = Stage(Actor("a", says("slow", first_s=2.0)), blank, config=hedged("a", "b"))
        assert await stage.ask() == "slow"
        assert blank.n_open == 0

    simulate(scenario())


def test_when_both_fail_a_third_is_asked_within_the_same_budget():
    async def scenario():
        fails = [1.0, refusal("overload", 503)]
        stage = Stage(Actor("a", fails), Actor("b", fails), Actor("c"), config=hedged("a", "b", "c"))
        assert await stage.ask() == "fine then"
        assert [report.number for report in stage.reports] == [1, 2, 3]
        stage = Stage(Actor("a", fails), Actor("b", fails), Actor("c"), config=hedged("a", "b", "c", max_attempts=2))
        with pytest.raises(Unavailable):
            await stage.ask()

    simulate(scenario())


def test_a_hedge_costs_a_retry_and_is_left_out_when_there_are_none():
    async def scenario():
        config = hedged("a", "b")
        stage = Stage(Actor("a", SLOW), Actor("b", QUICK), config=config, routing=RoutingConfig(retry_tokens=0))
        assert await stage.ask() == "slow"
        assert stage.told == [("a", "ok")]

    simulate(scenario())


def test_a_caller_who_leaves_ends_both():
    async def scenario():
        actors = Actor("a", SLOW), Actor("b", SLOW)
        stage = Stage(*actors, config=hedged("a", "b"))
        task = asyncio.ensure_future(stage.ask())
        await asyncio.sleep(1.0)
        assert [actor.n_open for actor in actors] == [1, 1]
        task.cancel()
        await asyncio.wait([task])
        assert [actor.n_open for actor in actors] == [0, 0]
        assert sorted(stage.told) == [("a", "cancelled"), ("b", "cancelled")]
        assert [target.load.n_in_flight for target in stage.targets.values()] == [0, 0]

    simulate(scenario())


def test_a_crowd_of_hedges_mixes_nothing_up():
    async def scenario():
        actors = [Actor(name, says(name, first_s=0.2 + at)) for at, name in enumerate("abc")]
        config = RouteConfig(targets=tuple(TargetConfig(model=name) for name in "abc"), hedge_after_s=0.5)
        stage = Stage(*actors, config=config)
        answers = await asyncio.gather(*(stage.ask() for _ in range(200)))
        assert set(answers) <= set("abc")
        assert sum(actor.n_open for actor in actors) == 0
        assert all(target.load.n_in_flight == 0 for target in stage.targets.values())
        assert sum(report.outcome == "ok" for report in stage.reports) == 200

    simulate(scenario())
