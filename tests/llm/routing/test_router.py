"""A route as its caller sees it, and what it makes of failures; in simulated time."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from llm.routing.config import FallbackConfig, RouteConfig, RoutingConfig, TargetConfig
from rag.base.chat import Options, ReasoningDelta, Tool
from rag.base.deadline import Deadline
from rag.base.errors import (
    BadDependency,
    DeadlineExceeded,
    InvalidInput,
    QuotaExceeded,
    Unavailable,
    for_the_log,
)
from rag.base.types import Finished, TextDelta, Usage
from tests.llm.routing.targets import PROMPT, Actor, Stage, ordered, refusal, says, text_of
from tests.prompts import a_prompt
from tests.simulated import now_s, simulate

HANG = [3600.0]
FAILURES = {
    "connect": Unavailable("cannot be reached"),
    "overload": refusal("overload", 503),
    "timeout": DeadlineExceeded("gave no first token"),
    "cut_off": BadDependency("broke off"),
    "rate_limit": refusal("rate_limit", 429, 5.0),
    "credentials": refusal("credentials", 401),
    "model_missing": refusal("model_missing", 404),
    "declined": InvalidInput("cannot do this: images"),
}


@pytest.mark.parametrize("outcome", FAILURES)
def test_before_the_first_output_another_target_takes_over_unseen(outcome):
    async def scenario():
        stage = Stage(Actor("a", [0.05, FAILURES[outcome]]), Actor("b"), config=ordered("a", "b"))
        assert await stage.ask() == "fine then"
        assert stage.told == [("a", outcome), ("b", "ok")]
        last = stage.reports[-1]
        assert (last.failed_over_from, last.failed_over_for, last.number) == ("a", outcome, 2)

    simulate(scenario())


@pytest.mark.parametrize(
    "held",
    [
        [TextDelta(text=""), TextDelta(text=" \n")],
        [Usage(input_tokens=1, output_tokens=0)],
    ],
)
def test_what_came_before_the_first_output_of_a_target_that_failed_is_never_seen(held):
    async def scenario():
        stage = Stage(Actor("a", [*held, BadDependency("broke off")]), Actor("b"), config=ordered("a", "b"))
        events = await stage.events()
        assert text_of(events) == "fine then"
        assert [type(event) for event in events].count(Usage) == 1

    simulate(scenario())


@pytest.mark.parametrize("first", [TextDelta(text="The"), ReasoningDelta(text="Hm")])
def test_after_the_first_output_a_failure_is_told_and_nobody_else_is_asked(first):
    async def scenario():
        stage = Stage(Actor("a", [first, refusal("overload", 503)]), Actor("b"), config=ordered("a", "b"))
        events = stage.router.stream(PROMPT, Deadline.after(30, now_s))
        assert await anext(events) == first
        with pytest.raises(Unavailable):
            await anext(events)
        assert stage.told == [("a", "overload")]
        assert stage.reports[0].output_tokens > 0, "what was written is to be paid for"

    simulate(scenario())


def test_a_stream_that_ends_without_finishing_is_an_error_and_never_a_clean_end():
    async def scenario():
        stage = Stage(Actor("a", [TextDelta(text="The")]), Actor("b"), config=ordered("a", "b"))
        with pytest.raises(BadDependency, match="in the middle"):
            await stage.ask()

    simulate(scenario())


@pytest.mark.parametrize("kind", ["context_length", "content_policy"])
def test_a_prompt_that_is_at_fault_goes_to_those_listed_for_it_and_to_nobody_else(kind):
    async def scenario(listed: tuple[str, ...]):
        on = FallbackConfig(**{kind: listed, "default": ("b",)})
        actors = Actor("a", [refusal(kind, 400)]), Actor("b"), Actor("c")
        stage = Stage(*actors, config=ordered("a", on=on))
        answer = asyncio.ensure_future(stage.ask())
        await asyncio.wait([answer])
        return stage.told, answer

    told, answer = simulate(scenario(("c",)))
    assert told == [("a", kind), ("c", "ok")]
    assert answer.result() == "fine then"
    told, answer = simulate(scenario(()))
    assert told == [("a", kind)]
    assert isinstance(answer.exception(), BadDependency)


def test_a_request_that_is_wrong_is_refused_once():
    async def scenario():
        stage = Stage(Actor("a", [refusal("rejected", 400)]), Actor("b"), config=ordered("a", "b"))
        with pytest.raises(BadDependency, match="HTTP 400"):
            await stage.ask()
        assert stage.told == [("a", "rejected")]

    simulate(scenario())


def test_a_filters_refusal_without_a_word_is_passed_over_where_somebody_is_listed():
    async def scenario(on: FallbackConfig):
        filtered = [0.1, Finished(reason="content_filter", model="a")]
        stage = Stage(Actor("a", filtered), Actor("b"), config=ordered("a", on=on))
        return await stage.events(), stage.told

    events, told = simulate(scenario(FallbackConfig(content_policy=("b",))))
    assert text_of(events) == "fine then"
    assert told == [("a", "content_policy"), ("b", "ok")]
    events, told = simulate(scenario(FallbackConfig(default=("b",))))
    assert events == [Finished(reason="content_filter", model="a")]
    assert told == [("a", "ok")]


def test_an_empty_answer_is_passed_over_unless_it_is_all_there_is():
    async def scenario(prompt, *actors):
        stage = Stage(*actors, config=ordered(*(actor.name for actor in actors)))
        return await stage.events(prompt), stage.told

    empty = [0.1, Usage(input_tokens=9, output_tokens=0), Finished(reason="stop", model="a")]
    events, told = simulate(scenario(PROMPT, Actor("a", empty), Actor("b")))
    assert text_of(events) == "fine then"
    assert told == [("a", "empty"), ("b", "ok")]
    events, told = simulate(scenario(PROMPT, Actor("a", empty)))
    assert events[-1] == Finished(reason="stop", model="a")
    with_tools = replace(PROMPT, options=Options(tools=(Tool(name="t"),)))
    events, told = simulate(scenario(with_tools, Actor("a", empty), Actor("b")))
    assert told == [("a", "ok")], "after a tool's result there may be nothing to say"


def test_the_fallbacks_follow_when_no_target_is_left_and_a_route_brings_its_own():
    async def scenario():
        broken = [refusal("overload", 503)]
        routes = {"spare": ordered("c", "d", on=FallbackConfig(default=("e",)))}
        actors = [Actor(name, broken) for name in "abcd"] + [Actor("e")]
        config = ordered("a", "b", on=FallbackConfig(default=("spare",)), max_attempts=9)
        stage = Stage(*actors, config=config, routes=routes)
        assert await stage.ask() == "fine then"
        assert [target for target, _ in stage.told] == list("abcde")

    simulate(scenario())


def test_rate_limits_have_fallbacks_of_their_own():
    async def scenario():
        limited = [refusal("rate_limit", 429, 30.0)]
        on = FallbackConfig(default=("b",), rate_limit=("c",))
        stage = Stage(Actor("a", limited), Actor("b"), Actor("c"), config=ordered("a", on=on))
        await stage.ask()
        await stage.ask()
        assert stage.told == [("a", "rate_limit"), ("c", "ok"), ("c", "ok")], "the second request knows already"

    simulate(scenario())


def test_another_key_is_asked_first_and_a_refused_one_is_remembered():
    async def scenario():
        keys = Actor("blue", [refusal("credentials", 401)]), Actor("green")
        stage = Stage(keys, Actor("b"), config=ordered("blue", "b"))
        for _ in range(3):
            assert await stage.ask() == "fine then"
        assert [(r.target, r.key, r.outcome) for r in stage.reports] == [
            ("blue", "blue", "credentials"),
            *[("blue", "green", "ok")] * 3,
        ]

    simulate(scenario())


def test_a_quarantined_key_is_tried_by_one_request_when_its_time_is_over():
    async def scenario():
        blue = Actor("blue", [refusal("credentials", 401)], says("back"))
        stage = Stage((blue, Actor("green")))
        await stage.ask()
        await asyncio.sleep(61)
        answers = await asyncio.gather(*(stage.ask() for _ in range(6)))
        assert sorted(set(answers)) == ["back", "fine then"]
        assert blue.n_calls == 2, "one probe, while the others took the other key"

    simulate(scenario())


def test_a_rate_limit_is_waited_for_where_that_is_soon_enough_and_told_where_not():
    async def scenario(hint_s: float):
        stage = Stage(Actor("a", [refusal("rate_limit", 429, hint_s)], says("later")))
        return await stage.ask(), now_s()

    text, at_s = simulate(scenario(2.0))
    assert text == "later"
    assert 2.0 <= at_s < 3.0
    with pytest.raises(QuotaExceeded) as caught:
        simulate(scenario(20.0))
    assert 18 <= caught.value.retry_after_s <= 22


def test_one_budget_of_attempts_holds_over_targets_keys_and_retries():
    async def scenario():
        actors = [Actor(name, [refusal("overload", 503)]) for name in "abcdefgh"]
        stage = Stage(*actors, config=ordered(*"abcdefgh", max_attempts=3))
        with pytest.raises(Unavailable) as caught:
            await stage.ask()
        assert len(stage.reports) == 3
        assert "3 attempts are used up" in for_the_log(caught.value)

    simulate(scenario())


def test_one_budget_of_time_holds_and_half_of_what_is_left_is_kept_for_the_others():
    async def scenario():
        stage = Stage(Actor("a", HANG), Actor("b"), config=ordered("a", "b"))
        assert await stage.ask(within_s=20.0) == "fine then"
        assert 10.0 <= now_s() < 10.5
        stage = Stage(Actor("a", HANG), Actor("b", HANG), config=ordered("a", "b"))
        began_s = now_s()
        with pytest.raises(DeadlineExceeded):
            await stage.ask(within_s=20.0)
        assert now_s() - began_s == pytest.approx(20.0, abs=0.1)

    simulate(scenario())


def test_a_fallback_gets_its_half_of_the_time_too():
    async def scenario():
        config = ordered("a", on=FallbackConfig(default=("b",)))
        stage = Stage(Actor("a", HANG), Actor("b"), config=config)
        assert await stage.ask(within_s=20.0) == "fine then"
        assert stage.told == [("a", "timeout"), ("b", "ok")]

    simulate(scenario())


def test_a_dead_target_is_left_alone_and_comes_back():
    async def scenario():
        alive = False
        dead = Actor("a", lambda: says("a") if alive else [0.01, Unavailable("cannot be reached")])
        stage = Stage(dead, Actor("b", says("b")), config=ordered("a", "b"))
        for _ in range(40):
            assert await stage.ask() == "b"
            await asyncio.sleep(0.1)
        while_dead = dead.n_calls
        alive = True
        await asyncio.sleep(9)
        answers = [await stage.ask() for _ in range(4)]
        return while_dead, answers

    while_dead, answers = simulate(scenario())
    assert while_dead <= 9, "five to see that it is dead, then a probe now and then"
    assert answers == ["a"] * 4


def test_the_log_says_who_is_left_alone_and_why_and_who_is_back(caplog):
    async def scenario():
        refused = Actor("b", [0.01, refusal("credentials", 401)])
        recovers = Actor("a", *[[0.01, refusal("overload", 500)]] * 5, says("a"))
        stage = Stage(recovers, refused, Actor("c"), config=ordered("a", "b", "c"))
        for _ in range(20):
            await stage.ask()
            await asyncio.sleep(0.2)

    simulate(scenario())
    told = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in told] == [
        "the key 'b' of 'b' is left alone",
        "the target 'a' is left alone",
        "the target 'a' is back",
    ]
    assert "HTTP 401: check the credentials" in told[0]
    assert "HTTP 500: it is overloaded" in told[1]


def test_with_all_targets_down_requests_wait_for_the_first_to_come_back():
    async def scenario():
        actor = Actor("a", *[[0.01, Unavailable("down")]] * 6, says("back"))
        routing = RoutingConfig(consecutive_failures=3, open_s=1.0)
        stage = Stage(actor, config=ordered("a", max_attempts=10), routing=routing)
        answers = await asyncio.gather(*(stage.ask() for _ in range(5)), return_exceptions=True)
        return answers, actor.n_calls

    answers, _ = simulate(scenario())
    assert "back" in answers


def test_with_all_targets_down_for_longer_the_error_says_when_to_come_back():
    async def scenario():
        routing = RoutingConfig(consecutive_failures=1, open_s=8.0)
        stage = Stage(Actor("a", [Unavailable("down")]), routing=routing)
        with pytest.raises(Unavailable):
            await stage.ask()
        with pytest.raises(Unavailable) as caught:
            await stage.ask()
        assert len(stage.reports) == 1, "the second request asked nobody"
        assert caught.value.retry_after_s == pytest.approx(8.0, abs=0.5)

    simulate(scenario())


def test_a_failure_of_the_unexpected_kind_is_a_failure_like_any_other():
    async def scenario():
        stage = Stage(Actor("a", [KeyError("oops")]), Actor("b"), config=ordered("a", "b"))
        assert await stage.ask() == "fine then"
        assert stage.told[0] == ("a", "cut_off")

    simulate(scenario())


def test_a_prompt_too_long_for_a_target_goes_to_one_that_reads_it():
    async def scenario():
        config = RouteConfig(
            targets=(
                TargetConfig(model="a", context_tokens=300),
                TargetConfig(model="b", order=2, context_tokens=9_000),
            )
        )
        stage = Stage(Actor("a"), Actor("b"), config=config)
        await stage.ask(a_prompt("Short?"))
        await stage.ask(a_prompt("Long?", "word " * 3_000))
        with pytest.raises(BadDependency, match="longer than any target"):
            await stage.ask(a_prompt("Longer?", "word " * 9_000))
        assert stage.told == [("a", "ok"), ("b", "ok")]

    simulate(scenario())


def test_who_cannot_do_what_is_asked_is_left_out_unless_nobody_can():
    async def scenario():
        lacks = {name: frozenset({"tools"}) for name in "abc"}
        with_tools = replace(PROMPT, options=Options(tools=(Tool(name="t"),)))
        config = ordered("a", "b", "c", on=FallbackConfig(default=("d",)), max_attempts=1)
        stage = Stage(*[Actor(name) for name in "abcd"], config=config, lacks=lacks)
        assert await stage.ask(with_tools) == "fine then"
        assert await stage.ask() == "fine then"
        assert stage.told == [("d", "ok"), ("a", "ok")]
        refusing = Actor("a", [InvalidInput("cannot do this: tools", pointer="/tools")])
        stage = Stage(refusing, config=ordered("a"), lacks=lacks)
        with pytest.raises(InvalidInput, match="tools"):
            await stage.ask(with_tools)

    simulate(scenario())


def test_a_caller_who_leaves_closes_the_upstream_and_is_counted_as_such():
    async def scenario():
        actor = Actor("a", [TextDelta(text="The"), 5.0, TextDelta(text=" end")])
        stage = Stage(actor)
        async with aclosing(stage.router.stream(PROMPT, Deadline.after(30, now_s))) as events:
            await anext(events)
        assert actor.n_open == 0
        assert stage.told == [("a", "cancelled")]
        hanging = Stage(Actor("a", HANG))
        task = asyncio.ensure_future(hanging.ask())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert hanging.told == [("a", "cancelled")]
        assert hanging.targets["a"].load.n_in_flight == 0

    simulate(scenario())


def test_in_an_outage_of_everything_the_load_grows_by_the_ratio_and_not_by_the_attempts():
    async def scenario():
        routing = RoutingConfig(retry_tokens=10, retry_ratio=0.1, consecutive_failures=10**6, min_calls=10**6)
        actors = [Actor(name, [0.01, refusal("overload", 503)]) for name in "abcd"]
        stage = Stage(*actors, routing=routing)
        for _ in range(200):
            with pytest.raises(Unavailable):
                await stage.ask()
        return len(stage.reports)

    assert simulate(scenario()) <= 200 * 1.1 + 10
