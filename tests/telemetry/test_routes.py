"""A route is a span of its own: who was asked in turn, what came of it, and each call below it."""

import pytest
from msgspec.structs import replace

from llm.config import OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import open_models
from llm.routing.config import RouteConfig, SummaryConfig, TargetConfig
from llm.routing.parameters import Parameters
from rag.base.deadline import Deadline
from rag.base.template import template_of
from rag.base.types import Prompt, Turn
from rag.bench.upstream.script import Script
from rag.bench.upstream.transport import SimulatedProvider
from rag.observation import note_attempt
from rag.telemetry.attributes import Peer
from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedTrace
from rag.telemetry.tracing import Tracing
from tests.fakes import HashingEmbedder
from tests.prompts import a_prompt
from tests.telemetry.recorded import named
from tests.telemetry.test_sums import opened

ROUTE = RouteConfig(
    targets=(TargetConfig(model="first"), TargetConfig(model="second")), balancer="cost", max_attempts=3
)
PROMPT = a_prompt("When?", "In 1889.")
SUMMARY = template_of("summary.v1", "# system\nSummarise.\n# user\n{conversation}")


async def routed(*scripts: Script, route: RouteConfig = ROUTE, prompt: Prompt = PROMPT) -> FinishedTrace:
    """The trace of one call of a route whose targets play the scripts in turn."""
    kept: list[FinishedTrace] = []
    tracing = Tracing(TracingConfig(sample=0.0), str, kept.append)
    assert tracing.tracer is not None
    provider = SimulatedProvider(queue=[*scripts])
    peer = Peer(kind="openai", address="upstream", port=80)

    parts = Parts(
        embedder=HashingEmbedder(),
        transport=lambda _: opened(provider),
        wrap=lambda *named_model: tracing.model(named_model[2], peer),
        cover=tracing.route,
        aside=tracing.summariser,
    )
    configs = {name: OpenAIConfig(base_url="http://upstream/v1", model=name) for name in ("first", "second")}
    catalogue = Catalogue(models=configs, routes={"route": route}, summary_prompts={"route": SUMMARY})
    async with open_models(catalogue, parts, note_attempt) as models:
        with tracing.tracer.request("POST /v1/chat/completions", "server") as root:
            root.trace.notable = True
            async for _ in models["route"].stream(prompt, Deadline.after(30)):
                pass
    return kept[0]


async def test_a_route_tells_who_answered() -> None:
    trace = await routed(Script(n_tokens=3))
    (route,), (chat,) = named(trace, "route"), named(trace, "chat")
    assert chat.parent_id == route.span_id
    assert route.attributes["rag.route.policy"] == "route"
    assert set(route.attributes["rag.route.candidates"]) == {"first", "second"}
    assert route.attributes["rag.route.selected"] == chat.attributes["gen_ai.request.model"]
    assert (route.attributes["rag.route.attempts"], route.attributes["rag.route.fallback"]) == (1, False)
    assert named(trace, "render_prompt") == [], "the words are the caller's own"


async def test_a_fallback_is_told_with_who_failed_and_how() -> None:
    trace = await routed(Script(fault="overloaded"), Script(n_tokens=3))
    (route,), (first, second) = named(trace, "route"), named(trace, "chat")
    assert {first.parent_id, second.parent_id} == {route.span_id}
    assert (route.attributes["rag.route.attempts"], route.attributes["rag.route.fallback"]) == (2, True)
    assert route.attributes["rag.route.fallback.from"] == first.attributes["gen_ai.request.model"]
    assert route.attributes["rag.route.fallback.reason"] == "overload"
    assert route.error is None
    assert first.error is not None
    assert second.attributes["rag.route.attempt"] == 1
    assert second.attributes["rag.route.fallback.from"] == first.attributes["gen_ai.request.model"]


@pytest.mark.parametrize("summary", [Script(n_tokens=5), Script(fault="invalid_request")])
async def test_a_summary_is_a_span_of_its_own_and_no_attempt_at_what_was_asked(summary: Script) -> None:
    route = RouteConfig(
        targets=(TargetConfig(model="first"),),
        parameters=Parameters(history_tokens=200),
        summary=SummaryConfig(model="second", max_tokens=64),
    )
    turns = (Turn(role="user", content="a" * 2_000), Turn(role="assistant", content="b"), *PROMPT.messages[1:])
    trace = await routed(summary, Script(n_tokens=3), route=route, prompt=replace(PROMPT, messages=turns))
    (asked,), (aside,) = named(trace, "route"), named(trace, "summarise_history")
    by_model = {chat.attributes["gen_ai.request.model"]: chat for chat in named(trace, "chat")}
    assert aside.parent_id == by_model["first"].parent_id == asked.span_id
    assert by_model["second"].parent_id == aside.span_id
    assert (asked.attributes["rag.route.attempts"], aside.attributes["rag.route.attempts"]) == (1, 1)
    assert by_model["first"].attributes["rag.route.attempt"] == 0
    assert by_model["first"].attributes["rag.route.fallback"] is False
    (rendered,) = named(trace, "render_prompt")
    assert rendered.attributes["gen_ai.prompt.name"] == "summary.v1"
