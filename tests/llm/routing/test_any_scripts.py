"""Whatever the targets do, in whatever order: what must always hold of a route."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from llm.routing.config import FallbackConfig, RouteConfig, RoutingConfig, TargetConfig
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, GroundwireError, InvalidInput, Unavailable
from rag.base.types import Finished, ModelEvent, TextDelta, Usage
from tests.llm.routing.targets import PROMPT, Actor, Stage, refusal, text_of
from tests.simulated import now_s, simulate

WITHIN_S = 20.0
NAMES = "abcd"

failures = st.sampled_from(
    [
        Unavailable("cannot be reached"),
        DeadlineExceeded("gave no first token"),
        BadDependency("broke off"),
        InvalidInput("cannot do this"),
        KeyError("unforeseen"),
        refusal("overload", 503),
        refusal("overload", 503, 3.0),
        refusal("rate_limit", 429),
        refusal("rate_limit", 429, 0.3),
        refusal("rate_limit", 429, 500.0),
        refusal("credentials", 401),
        refusal("model_missing", 404),
        refusal("context_length", 400),
        refusal("content_policy", 400),
        refusal("rejected", 400),
    ]
)
waits = st.sampled_from([0.0, 0.01, 0.3, 2.0, 60.0])


@st.composite
def scripts(draw, name: str):
    """Up to three words, each of which says whose it is, and an end of some kind."""
    acts = [draw(waits)]
    if draw(st.booleans()):
        acts.append(TextDelta(text=" "))
    for _ in range(draw(st.integers(0, 3))):
        acts += [TextDelta(text=name), draw(waits)]
    match draw(st.sampled_from(["well", "well", "fails", "stops", "filtered"])):
        case "well":
            acts += [Usage(input_tokens=5, output_tokens=1), Finished(reason="stop", model=name)]
        case "filtered":
            acts.append(Finished(reason="content_filter", model=name))
        case "fails":
            acts.append(draw(failures))
    return acts


@st.composite
def stages(draw):
    actors = [Actor(name, *draw(st.lists(scripts(name), min_size=1, max_size=4))) for name in NAMES]
    config = RouteConfig(
        targets=tuple(
            TargetConfig(model=name, order=draw(st.integers(1, 2)), weight=draw(st.sampled_from([1.0, 3.0])))
            for name in NAMES[:2]
        ),
        on=FallbackConfig(
            default=draw(st.sampled_from([(), ("c",), ("d", "c")])),
            rate_limit=draw(st.sampled_from([(), ("d",)])),
            context_length=draw(st.sampled_from([(), ("c",)])),
            content_policy=draw(st.sampled_from([(), ("d",)])),
        ),
        balancer=draw(st.sampled_from(["latency", "weighted", "least_in_flight", "cost"])),
        max_attempts=draw(st.integers(1, 5)),
        hedge_after_s=draw(st.sampled_from([None, 0.1, 1.0])),
        prefix_affinity=draw(st.booleans()),
    )
    routing = RoutingConfig(
        consecutive_failures=draw(st.integers(1, 5)), retry_tokens=draw(st.sampled_from([0, 2, 500]))
    )
    return actors, config, routing


async def asked(stage: Stage) -> tuple[list[ModelEvent], Exception | None, float]:
    began_s, events = now_s(), []
    try:
        async for event in stage.router.stream(PROMPT, Deadline.after(WITHIN_S, now_s)):
            events.append(event)  # noqa: PERF401 - what came before a failure counts
    except GroundwireError as error:
        return events, error, now_s() - began_s
    return events, None, now_s() - began_s


@settings(max_examples=150)
@given(stages(), st.integers(1, 6))
def test_an_answer_is_one_targets_and_whole_or_it_is_an_error(given_stage, n_requests):
    actors, config, routing = given_stage

    async def scenario():
        stage = Stage(*actors, config=config, routing=routing)
        results = await asyncio.gather(*(asked(stage) for _ in range(n_requests)))
        for events, error, took_s in results:
            text = text_of(events).strip()
            assert len(set(text)) <= 1, "words of one target only"
            finished = [event for event in events if isinstance(event, Finished)]
            assert len(finished) == (error is None), "an end that is clean, or an error, and never both"
            if finished:
                assert events[-1] is finished[0]
            if error is not None and not events:
                assert not text
            assert took_s <= 300, "bounded by what the scripts can wait after the first word"
        by_number = [report.number for report in stage.reports]
        assert max(by_number, default=0) <= config.max_attempts
        assert sum(1 for number in by_number if number > 1) <= routing.retry_tokens + 0.2 * n_requests
        assert len(stage.reports) == sum(actor.n_calls for actor in actors), "every call is reported once"
        assert sum(actor.n_open for actor in actors) == 0, "and none is left open"
        for target in stage.targets.values():
            assert target.load.n_in_flight == 0
            assert all(key.n_in_flight == 0 for key in target.keys)
        assert len(asyncio.all_tasks()) == 1

    simulate(scenario())
