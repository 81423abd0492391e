"""What users of other gateways complain about, each as a case: it must not happen here."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from llm.routing.config import RouteConfig, RoutingConfig, TargetConfig
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, InvalidInput, Unavailable
from rag.base.types import Finished, TextDelta, Turn, Usage
from tests.llm.routing.targets import PROMPT, Actor, Stage, ordered, refusal, says
from tests.prompts import a_prompt
from tests.simulated import now_s, simulate


def test_state_of_requests_does_not_pile_up():
    async def scenario():
        actors = [
            Actor("a", lambda: says("a") if now_s() % 1 < 0.5 else [0.01, refusal("overload", 503)]),
            Actor("b", lambda: [0.01, refusal("rate_limit", 429, 0.2)] if now_s() % 3 < 1 else says("b")),
            Actor("c"),
        ]
        stage = Stage(*actors)
        for _ in range(60):
            await asyncio.gather(*(stage.ask() for _ in range(20)), return_exceptions=True)
        for target in stage.targets.values():
            assert target.load.n_in_flight == 0
            assert not target.load._waiting
            assert len(target.breaker._window._buckets) <= 11
            assert all(key.n_in_flight == 0 for key in target.keys)
        assert len(asyncio.all_tasks()) == 1

    simulate(scenario())


def test_when_the_fallback_of_a_stream_fails_too_that_is_one_error_and_no_text():
    async def scenario():
        stage = Stage(
            Actor("a", [TextDelta(text=" "), BadDependency("broke off")]),
            Actor("b", [TextDelta(text=" "), refusal("overload", 529)]),
            config=ordered("a", "b", max_attempts=2),
        )
        with pytest.raises(Unavailable) as caught:
            await anext(stage.router.stream(PROMPT, Deadline.after(30, now_s)))
        assert "a: cut_off, b: overload" in str(caught.value)

    simulate(scenario())


def test_straight_errors_take_a_target_out_at_once_and_not_seconds_later():
    async def scenario():
        failing = Actor("a", [0.01, refusal("overload", 500)])
        stage = Stage(failing, Actor("b"), config=ordered("a", "b"))
        for _ in range(25):
            await stage.ask()
        assert failing.n_calls <= 8

    simulate(scenario())


def test_a_target_that_was_taken_out_does_come_back():
    async def scenario():
        recovers = Actor("a", *[[0.01, refusal("overload", 500)]] * 5, says("a"))
        stage = Stage(recovers, Actor("b", says("b")), config=ordered("a", "b"))
        for _ in range(5):
            await stage.ask()
        await asyncio.sleep(2)
        assert {await stage.ask() for _ in range(3)} == {"a"}

    simulate(scenario())


def test_a_retry_after_is_kept_to_and_a_stale_one_is_not():
    async def scenario():
        calls: list[float] = []

        def script():
            calls.append(now_s())
            return [0.01, refusal("rate_limit", 429, 12.0)] if len(calls) == 1 else says("a")

        stage = Stage(Actor("a", script), Actor("b", says("b")), config=ordered("a", "b"))
        for _ in range(60):
            await stage.ask()
            await asyncio.sleep(0.5)
        early = [at_s for at_s in calls[1:] if at_s < 12.0]
        assert early == [], "not asked before its time"
        assert min(calls[1:]) < 14.5, "and soon after it"
        assert len(calls) > 20, "and what it said then is not held against it later"

    simulate(scenario())


def test_an_error_while_all_are_left_alone_says_when_to_come_back():
    async def scenario():
        routing = RoutingConfig(consecutive_failures=1, open_s=6.0)
        stage = Stage(Actor("a", [Unavailable("down")]), config=ordered("a", max_wait_s=0), routing=routing)
        with pytest.raises(Unavailable):
            await stage.ask()
        with pytest.raises(Unavailable) as caught:
            await stage.ask()
        assert caught.value.retry_after_s == pytest.approx(6.0, abs=0.5)

    simulate(scenario())


def test_a_client_that_disconnects_ends_the_upstream_within_100_ms_and_its_tokens_are_known():
    async def scenario():
        actor = Actor("a", says(*["word "] * 50, each_s=0.2))
        stage = Stage(actor)
        async with aclosing(stage.router.stream(PROMPT, Deadline.after(60, now_s))) as events:
            for _ in range(10):
                await anext(events)
            left_s = now_s()
        assert now_s() - left_s <= 0.1
        assert actor.n_open == 0
        [report] = stage.reports
        assert (report.outcome, report.is_estimated) == ("cancelled", True)
        assert report.output_tokens >= 10
        assert report.input_tokens == PROMPT.n_tokens

    simulate(scenario())


def test_cached_tokens_reach_the_caller_as_the_provider_counted_them():
    async def scenario():
        usage = Usage(input_tokens=1_000, output_tokens=1, cached_tokens=900)
        stage = Stage(Actor("a", [TextDelta(text="x"), usage, Finished(reason="stop", model="m")]))
        assert usage in await stage.events()
        assert (stage.reports[0].input_tokens, stage.reports[0].output_tokens) == (1_000, 1)

    simulate(scenario())


def conversation(number: int, n_turns: int):
    """The first turns of a conversation with a beginning of its own."""
    turns = [Turn(role="system", content=f"You help customer {number}. " * 20), Turn(role="user", content="Hello")]
    for turn in range(n_turns):
        turns += [Turn(role="assistant", content=f"Answer {turn}"), Turn(role="user", content=f"Question {turn}")]
    return replace(a_prompt("Hello"), messages=tuple(turns))


def test_balancing_does_not_break_the_providers_prompt_caches():
    async def scenario(*, affinity: bool) -> float:
        config = RouteConfig(targets=tuple(TargetConfig(model=n) for n in "abc"), prefix_affinity=affinity)
        stage = Stage(*[Actor(name) for name in "abc"], config=config)
        seen: set[tuple[str, int]] = set()
        n_hits = 0
        for turn in range(6):
            for number in range(30):
                await stage.ask(conversation(number, turn))
                n_hits += (stage.reports[-1].target, number) in seen
                seen.add((stage.reports[-1].target, number))
        assert {report.target for report in stage.reports} == set("abc"), "and the load is still shared"
        return n_hits / (30 * 5)

    assert simulate(scenario(affinity=True)) >= 0.99
    assert simulate(scenario(affinity=False)) < 0.8


def test_what_a_provider_leaves_out_of_a_request_is_told():
    async def scenario():
        finished = Finished(reason="stop", model="m", dropped=("seed",))
        stage = Stage(Actor("a", [TextDelta(text="x"), finished]))
        assert (await stage.events())[-1] == finished

    simulate(scenario())


def test_a_target_that_cannot_use_tools_hands_over_to_one_that_can():
    async def scenario():
        plain = Actor("a", [InvalidInput("cannot do this: tools", pointer="/tools")])
        stage = Stage(plain, Actor("b"), config=ordered("a", "b"))
        assert await stage.ask() == "fine then"
        stage = Stage(plain, config=ordered("a"))
        with pytest.raises(InvalidInput):
            await stage.ask()
        assert stage.targets["a"].breaker.state(now_s()) == "closed", "which is not its fault"

    simulate(scenario())


def test_a_quota_that_is_used_up_goes_to_another_key_and_then_to_another_target():
    async def scenario():
        spent = [0.01, refusal("credentials", 429)]
        stage = Stage((Actor("blue", spent), Actor("green", spent)), Actor("b"), config=ordered("blue", "b"))
        for _ in range(4):
            assert await stage.ask() == "fine then"
        assert [report.key for report in stage.reports] == ["blue", "green", "b", "b", "b", "b"]

    simulate(scenario())


def test_all_targets_cooling_is_no_outage_while_one_is_back_soon():
    async def scenario():
        limited = [0.01, refusal("rate_limit", 429, 2.0)]
        stage = Stage(Actor("a", limited, says("a")), Actor("b", limited, says("b")), config=ordered("a", "b"))
        answers = await asyncio.gather(*(stage.ask() for _ in range(10)))
        assert set(answers) <= {"a", "b"}
        assert now_s() < 4.0

    simulate(scenario())


def test_a_target_that_has_come_back_is_not_flooded():
    async def scenario():
        recovers = Actor("a", *[[0.01, refusal("overload", 500)]] * 5, says("a"))
        config = RouteConfig(targets=(TargetConfig(model="a"), TargetConfig(model="b")), balancer="weighted")
        stage = Stage(recovers, Actor("b", says("b")), config=config)
        while stage.targets["a"].breaker.state(now_s()) == "closed":
            await stage.ask()
        while stage.targets["a"].breaker.state(now_s()) != "closed":
            await asyncio.sleep(0.05)
            await stage.ask()
        before = recovers.n_calls
        await asyncio.gather(*(stage.ask() for _ in range(200)))
        assert recovers.n_calls - before <= 50, "a tenth of its share at first"

    simulate(scenario())
