"""What a request is kept under changes with all that its reply depends on; what may be kept, and for how long."""

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, RepliesConfig
from cache.reply import MAX_PROMPT_TOKENS, Wish, in_pieces, is_fit, passed_by, request_of, ttl_s
from rag.base.chat import Effort, Image, Options, ReasoningDelta, Tool, ToolCallDelta
from rag.base.types import Finished, ModelEvent, Prompt, StopReason, TextDelta, Turn, Usage
from tests.prompts import a_prompt

CONFIG = MemoryConfig(replies=RepliesConfig(models=("big",)))
PROMPT = a_prompt("Why?")
EFFORT: Effort = "low"
CHANGES = {
    "messages": (Turn(role="system", content="Be brief."), Turn(role="user", content="Hi?")),
    "max_tokens": 7,
    "temperature": 0.5,
}
BESIDE = {"tenant", "key_id", "template", "n_tokens", "question", "sources"}
OPTIONS = {
    "tools": (Tool(name="look"),),
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "response_format": "json_object",
    "stop": ("x",),
    "top_p": 0.5,
    "top_k": 3,
    "seed": 1,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "effort": EFFORT,
}
SAID: tuple[ModelEvent, ...] = (
    TextDelta(text="It is "),
    TextDelta(text="blue."),
    Usage(input_tokens=5, output_tokens=2),
    Finished(reason="stop", model="m"),
)


def request(
    prompt: Prompt = PROMPT, *, name: str = "big", build: str = "b", config: RepliesConfig | None = None
) -> bytes:
    return request_of(name, prompt, build, config or CONFIG.replies)


def test_every_part_counts() -> None:
    requests = [request(), request(name="small"), request(build="c")]
    requests += [request(replace(PROMPT, tenant="other")), request(replace(PROMPT, key_id="k2"))]
    requests += [request(replace(PROMPT, **{field: value})) for field, value in CHANGES.items()]
    requests += [request(replace(PROMPT, options=Options(**{field: value}))) for field, value in OPTIONS.items()]
    assert len(set(requests)) == len(requests)


def test_no_field_was_forgotten() -> None:
    assert {*CHANGES, *BESIDE, "options"} == {*Prompt.__struct_fields__}, "a new field: does it change the reply?"
    assert {*OPTIONS} == {*Options.__struct_fields__}, "a new field: does it change the reply?"


def test_keys_of_a_tenant_share_only_when_they_are_meant_to() -> None:
    tenant_wide = RepliesConfig(shared_by="tenant")
    other_key, other_tenant = replace(PROMPT, key_id="k2"), replace(PROMPT, tenant="other")
    assert request(config=tenant_wide) == request(other_key, config=tenant_wide)
    assert request(config=tenant_wide) != request(other_tenant, config=tenant_wide)


@pytest.mark.parametrize(
    ("prompt", "wish", "config", "reason"),
    [
        (PROMPT, Wish(), CONFIG.replies, None),
        (replace(PROMPT, temperature=None), Wish(), CONFIG.replies, "temperature"),
        (replace(PROMPT, temperature=0.7), Wish(), CONFIG.replies, "temperature"),
        (replace(PROMPT, temperature=0.7), Wish(is_asked=True), CONFIG.replies, None),
        (replace(PROMPT, temperature=0.7), Wish(), RepliesConfig(any_temperature=True), None),
        (replace(PROMPT, n_tokens=MAX_PROMPT_TOKENS + 1), Wish(is_asked=True), CONFIG.replies, "length"),
        (
            replace(PROMPT, messages=(Turn(role="user", content="Who?", images=(Image(url="https://e.org/a"),)),)),
            Wish(is_asked=True),
            CONFIG.replies,
            "images",
        ),
    ],
)
def test_what_the_memory_has_no_part_in(prompt: Prompt, wish: Wish, config: RepliesConfig, reason: str | None) -> None:
    assert passed_by(prompt, wish, config) == reason


def test_a_whole_reply_is_kept() -> None:
    assert is_fit(PROMPT, SAID, CONFIG)


@pytest.mark.parametrize("reason", ["length", "content_filter", "insufficient_evidence", "tool_calls"])
def test_what_did_not_end_by_itself_is_not_kept(reason: StopReason) -> None:
    assert not is_fit(PROMPT, [*SAID[:-1], Finished(reason=reason, model="m")], CONFIG)
    assert not is_fit(PROMPT, SAID[:-1], CONFIG)


def test_what_was_said_without_the_summary_that_was_due_is_not_kept() -> None:
    for dropped, is_kept in (("history_summary", False), ("history_details", True), ("history", True)):
        finished = Finished(reason="stop", model="m", dropped=(dropped,))
        assert is_fit(PROMPT, [*SAID[:-1], finished], CONFIG) is is_kept


def test_what_calls_a_tool_is_not_kept() -> None:
    assert not is_fit(PROMPT, [ToolCallDelta(index=0, id="c", name="look"), *SAID], CONFIG)


def test_what_is_personal_is_not_kept_unless_it_is_meant_to_be() -> None:
    asked = replace(PROMPT, messages=(Turn(role="user", content="Is ann@example.org right?"),))
    answered = [TextDelta(text="Ask ann@"), TextDelta(text="example.org."), *SAID[2:]]
    assert not is_fit(asked, SAID, CONFIG)
    assert not is_fit(PROMPT, in_pieces(answered), CONFIG)
    assert is_fit(asked, in_pieces(answered), replace(CONFIG, keep_personal=True))


def test_what_is_about_the_present_is_good_for_less() -> None:
    assert ttl_s(replace(PROMPT, question="What is the latest release?"), CONFIG) == CONFIG.time_words_ttl_s
    assert ttl_s(replace(PROMPT, question="What is a release?"), CONFIG) == CONFIG.replies.ttl_s


def test_a_reply_is_kept_in_pieces_that_say_the_same() -> None:
    thoughts = [ReasoningDelta(text="h"), SAID[0], ReasoningDelta(text="m"), *SAID[1:]]
    assert in_pieces(thoughts) == (ReasoningDelta(text="hm"), TextDelta(text="It is blue."), *SAID[2:])
