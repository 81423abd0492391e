"""The fault suite: five wires against every fault, through the models and routes as they are served."""

from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llm.config import AnthropicConfig, BedrockConfig, GeminiConfig, ModelConfig, OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import open_models
from llm.routing.config import FallbackConfig, RouteConfig, TargetConfig
from llm.routing.report import AttemptReport
from rag.base.deadline import Deadline
from rag.base.errors import DependencyError, GroundwireError, LoadError
from rag.base.secret import Secret
from rag.base.types import Finished, ModelEvent
from rag.bench.upstream.asked import WireName
from rag.bench.upstream.bill import Bill
from rag.bench.upstream.script import Book, Script
from rag.bench.upstream.transport import SimulatedProvider
from tests.fakes import HashingEmbedder
from tests.llm.routing.faults import AFTER, ALL, BEFORE, HARMLESS, LIES, PROMPTS, Fault
from tests.llm.routing.targets import PROMPT, text_of
from tests.simulated import now_s, simulate

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"
GOOD = Script(text="The embargo began.")


def config(wire: WireName, model: str) -> ModelConfig:
    key = Secret(f"key-of-{model}")
    match wire:
        case "openai":
            return OpenAIConfig(base_url="http://upstream/v1", model=model, api_key=key)
        case "azure":
            address = f"http://upstream/openai/deployments/{model}"
            return OpenAIConfig(
                base_url=address, model=model, api_version="2024-10-21", api_key_header="api-key", api_key=key
            )
        case "anthropic":
            return AnthropicConfig(base_url="http://upstream/v1", model=model, api_key=key)
        case "gemini":
            return GeminiConfig(base_url="http://upstream/v1beta", model=model, api_key=key)
        case "bedrock":
            return BedrockConfig(base_url="http://upstream", region="eu-west-1", model=model, api_key=key)


def spare_of(wire: WireName) -> WireName:
    return ALL[(ALL.index(wire) + 1) % len(ALL)]


class Play:
    """One request to a route whose first target, on `wire`, follows `script` and whose second one is well."""

    def __init__(self, wire: WireName, script: Script, on: FallbackConfig | None = None, n: int = 1) -> None:
        self.reports: list[AttemptReport] = []
        self.events: list[ModelEvent] = []
        self.error: Exception | None = None
        self.bill: Bill
        self.took_s = 0.0
        simulate(self._run(wire, script, on or FallbackConfig(), n))

    async def _run(self, wire: WireName, script: Script, on: FallbackConfig, n: int) -> None:
        provider = SimulatedProvider(Book(models={"bad": script, "good": GOOD}))

        @asynccontextmanager
        async def transport(max_connections: int):
            yield provider

        parts = Parts(embedder=HashingEmbedder(), transport=transport, clock=now_s)
        targets = [TargetConfig(model="bad")] + ([] if "good" in (*on.context_length, *on.content_policy) else [SPARE])
        catalogue = Catalogue(
            models={"bad": config(wire, "bad"), "good": config(spare_of(wire), "good")},
            routes={"r": RouteConfig(targets=tuple(targets), on=on, timeout_s=100.0)},
        )
        async with open_models(catalogue, parts, self.reports.append) as models:
            for _ in range(n):
                await self._ask(models["r"])
        self.bill, self.took_s = provider.bill, now_s()

    async def _ask(self, model) -> None:
        try:
            async for event in model.stream(PROMPT, Deadline.after(100.0, now_s)):
                self.events.append(event)
        except GroundwireError as error:
            self.error = error

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(report.target, report.outcome) for report in self.reports]


SPARE = TargetConfig(model="good", order=2)


def cases(faults: tuple[Fault, ...]) -> list:
    return [
        pytest.param(fault, wire, id=f"{wire}-{fault.name}".replace(" ", "_"))
        for fault in faults
        for wire in fault.wires
    ]


@pytest.mark.parametrize(("fault", "wire"), cases(BEFORE))
def test_before_the_first_word_nobody_sees_it(fault, wire):
    play = Play(wire, fault.script)
    assert play.error is None
    assert text_of(play.events) == GOOD.text
    assert sum(isinstance(event, Finished) for event in play.events) == 1
    assert play.told == [("bad", fault.outcome_on(wire)), ("good", "ok")]
    assert play.bill.n_open == 0, "no call stays open upstream"


@pytest.mark.parametrize(("fault", "wire"), cases(PROMPTS))
def test_a_prompt_at_fault_goes_where_it_is_said_to_and_else_nowhere(fault, wire):
    play = Play(wire, fault.script)
    assert play.told == [("bad", fault.outcome_on(wire))]
    assert isinstance(play.error, GroundwireError)
    if fault.outcome != "rejected":
        play = Play(wire, fault.script, FallbackConfig(**{fault.outcome_on(wire): ("good",)}))
        assert play.told == [("bad", fault.outcome_on(wire)), ("good", "ok")]
        assert text_of(play.events) == GOOD.text


@pytest.mark.parametrize(("fault", "wire"), cases(AFTER))
def test_after_the_first_word_it_is_an_error_and_never_a_clean_end(fault, wire):
    play = Play(wire, fault.script)
    assert isinstance(play.error, DependencyError | LoadError)
    assert text_of(play.events) == "w00 w01 "
    assert not any(isinstance(event, Finished) for event in play.events)
    assert play.told == [("bad", fault.outcome_on(wire))]
    assert play.reports[0].output_tokens > 0, "what was written is to be paid for"
    assert play.bill.n_open == 0


@pytest.mark.parametrize(("fault", "wire"), cases(HARMLESS))
def test_what_is_no_fault_is_not_taken_for_one(fault, wire):
    play = Play(wire, fault.script)
    assert play.told == [("bad", "ok")]
    assert isinstance(play.events[-1], Finished)


@pytest.mark.parametrize("wire", ALL)
@pytest.mark.parametrize(("says", "header", "least_s"), LIES, ids=[says.replace(" ", "_") for says, _, _ in LIES])
def test_a_rate_limit_is_believed_within_reason(wire, says, header, least_s):
    """The key is left alone at least as long as was said, and neither hammered nor forgotten when that is nonsense."""
    if wire == "gemini":
        least_s = max(least_s, 1.5) if header in ("", "soon", "nan") else least_s
    headers = (("retry-after-ms", header[3:]),) if header.startswith("ms:") else ()
    script = Script(fault="rate_limit", retry_after=None if headers else header or None, headers=headers)
    provider = SimulatedProvider(Book(models={"bad": script, "good": GOOD}))

    async def scenario() -> tuple[float, float]:
        @asynccontextmanager
        async def transport(max_connections: int):
            yield provider

        models = {"bad": config(wire, "bad"), "good": config(spare_of(wire), "good")}
        route = RouteConfig(targets=(TargetConfig(model="bad"), SPARE))
        parts = Parts(embedder=HashingEmbedder(), transport=transport, clock=now_s)
        async with open_models(Catalogue(models=models, routes={"r": route}), parts) as served:
            async for _ in served["r"].stream(PROMPT, Deadline.after(100.0, now_s)):
                pass
            bar = served.targets["bad"].keys[0].bar(1, now_s())
            assert bar is not None
            assert bar[0] == "rate_limited"
            return bar[1], now_s()

    left_s, _ = simulate(scenario())
    assert least_s - 1.0 <= left_s <= max(2.0, 1.2 * least_s + 1.0)


def test_there_are_as_many_cases_as_the_page_says():
    n = sum(len(fault.wires) for group in (BEFORE, PROMPTS, AFTER, HARMLESS) for fault in group) + len(ALL) * len(LIES)
    text = PAGE.read_text(encoding="utf-8")
    assert n >= 150
    assert f"**{n} cases**" in text
    for group in (BEFORE, PROMPTS, AFTER, HARMLESS):
        for fault in group:
            assert f"| {fault.name} | {fault.outcome.replace('_', ' ')} |" in text
    for says, _, _ in LIES:
        assert f"| rate limit that {says} |" in text
