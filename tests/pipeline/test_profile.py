"""How answers are written: a route's own way, and what a request may choose."""

import pytest

from llm.routing.config import RouteConfig, TargetConfig
from llm.routing.parameters import Parameters
from rag.base.errors import ConfigError, InvalidInput
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.prompts import PromptBook, PromptConfig
from tests.pipeline.test_prompts import text

VERSIONS = {"2": text("two"), "3": text("three")}
ANSWER = AnswerConfig(prompt="answer@1", allowed_prompts=("answer@2",), max_tokens=100, temperature=0.5)


def book(**labels: int) -> PromptBook:
    return PromptBook({"answer": PromptConfig(versions=VERSIONS, labels=labels)})


def route(**changes: object) -> RouteConfig:
    return RouteConfig(targets=(TargetConfig(model="m"),), **changes)  # type: ignore[arg-type]  # its members


def test_a_route_writes_as_it_says_and_else_as_answers_are_written():
    parameters = Parameters(max_tokens=7, temperature=0.0, context_tokens=9_000)
    routes = {"own": route(prompt="answer@production", parameters=parameters), "plain": route()}
    profiles = Profiles(ANSWER, book(production=3), routes)
    own, plain, model = profiles.of("own"), profiles.of("plain"), profiles.of("m")
    assert (own.template.system, own.max_tokens, own.temperature, own.context_tokens) == ("three", 7, 0.0, 9_000)
    assert plain == model
    assert (plain.prompt, plain.max_tokens, plain.temperature, plain.context_tokens) == ("answer@1", 100, 0.5, 1_500)


def test_a_request_may_choose_what_is_allowed_and_nothing_else():
    routes = {
        "open": route(prompt="answer@production", allowed_prompts=("answer@*",)),
        "closed": route(allowed_prompts=()),
        "plain": route(),
    }
    profiles = Profiles(ANSWER, book(production=3, staging=2), routes)
    for model, prompt, said in (
        ("open", "answer@2", "two"),
        ("open", "answer@staging", "two"),
        ("open", "answer", "three"),
        ("open", "answer@production", "three"),
        ("plain", "answer@2", "two"),
        ("m", "answer@2", "two"),
    ):
        assert profiles.of(model, prompt).template.system == said
    assert profiles.of("closed", "answer@1") == profiles.of("closed"), "what it is asked with anyway"
    for model, prompt, fault in (
        ("closed", "answer@2", "but with: none"),
        ("plain", "answer@3", "but with: answer@2"),
        ("plain", "answer@staging", "but with: answer@2"),
        ("open", "answer@best", "there is no prompt"),
        ("open", "summary@1", "may not be asked"),
    ):
        with pytest.raises(InvalidInput, match=fault) as refused:
            profiles.of(model, prompt)
        assert refused.value.pointer == "/prompt"


def test_what_a_profile_was_given_out_with_stays_after_an_exchange():
    profiles = Profiles(AnswerConfig(prompt="answer@production"), book(production=2))
    before = profiles.of("m")
    profiles.exchange(book(production=3), {})
    assert (before.template.system, profiles.of("m").template.system) == ("two", "three")


@pytest.mark.parametrize(
    ("answer", "changes", "place"),
    [
        ({"prompt": "answer@9"}, {}, "$.answer.prompt"),
        ({"prompt": "nobody"}, {}, "$.answer.prompt"),
        ({"allowed_prompts": ("answer@2", "answer@staging")}, {}, "$.answer.allowed_prompts[1]"),
        ({}, {"prompt": "answer@staging"}, "$.routes.r.prompt"),
        ({}, {"allowed_prompts": ("nobody@*",)}, "$.routes.r.allowed_prompts[0]"),
    ],
)
def test_a_prompt_that_is_not_there_is_refused_and_then_nothing_changes(answer, changes, place):
    with pytest.raises(ConfigError) as refused:
        Profiles(AnswerConfig(**answer), book(), {"r": route(**changes)})
    assert refused.value.path == place
    if changes:
        profiles = Profiles(AnswerConfig(), book())
        with pytest.raises(ConfigError):
            profiles.exchange(book(), {"r": route(**changes)})
        assert profiles.of("r").template.system == "three"
