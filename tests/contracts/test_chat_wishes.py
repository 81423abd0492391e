"""What every wire does with more than text: tools, a form for the answer, images, and what was counted."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from llm.abilities import Ability
from llm.anthropic import AnthropicWire
from llm.bedrock import BedrockWire
from llm.config import AnthropicConfig, BedrockConfig, GeminiConfig, OpenAIConfig
from llm.dialect import Dialect
from llm.gemini import GeminiWire
from llm.openai import OpenAIWire
from llm.remote import RemoteModel, Wire
from rag.base.chat import Image, JsonSchema, OneTool, Options, ReasoningDelta, Tool, ToolCall, ToolCallDelta
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, InvalidInput
from rag.base.secret import Secret
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Turn, Usage
from rag.bench.upstream.bedrock import message as aws_event
from tests.prompts import a_prompt
from tests.remote_models import mocked
from tests.upstream import SSE, Upstream

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
RAW_SCHEMA = json.dumps(SCHEMA).encode()
WEATHER = Tool(name="weather", description="The weather in a city", schema=RAW_SCHEMA)
TIME = Tool(name="time")
FORM = JsonSchema(name="place", schema=RAW_SCHEMA, strict=True)
PNG = Image(at=5, media_type="image/png", data="aGk=")
LINK = Image(at=5, url="https://example.org/a.png")


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def deltas(*steps: dict[str, Any]) -> bytes:
    return sse(*({"choices": [{"delta": step}]} for step in steps))


class Dialogue(Struct, frozen=True):
    """How one provider calls the weather of Rome and of Paris and then counts, and where it wants to be told things."""

    wire: Wire
    calls: bytes
    tools: Callable[[dict[str, Any]], Any]
    choices: dict[str, Any]
    schema: Callable[[dict[str, Any]], Any]
    images: Callable[[dict[str, Any]], Any]
    conversation: Any
    refuses: frozenset[Ability]


def openai_dialogue() -> Dialogue:
    return Dialogue(
        wire=OpenAIWire(OpenAIConfig(base_url="http://upstream/v1", model="m")),
        calls=deltas(
            {"role": "assistant", "content": None},
            {"reasoning_content": "Two cities."},
            {"content": "Let me look."},
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "weather"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]},
            {"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "time", "arguments": "{}"}}]},
        )
        + sse(
            {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 20,
                    "prompt_tokens_details": {"cached_tokens": 64},
                    "completion_tokens_details": {"reasoning_tokens": 8},
                },
            },
        )
        + b"data: [DONE]\n\n",
        tools=lambda body: [
            (tool["function"]["name"], tool["function"]["parameters"]) for tool in body["tools"] if tool["type"]
        ],
        choices={
            "required": ("tool_choice", "required"),
            "none": ("tool_choice", "none"),
            "weather": ("tool_choice", {"type": "function", "function": {"name": "weather"}}),
        },
        schema=lambda body: body["response_format"]["json_schema"]["schema"],
        images=lambda body: body["messages"][-1]["content"],
        conversation=[
            {"role": "user", "content": "Rome?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "weather", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        ],
        refuses=frozenset(),
    )


def anthropic_dialogue() -> Dialogue:
    return Dialogue(
        wire=AnthropicWire(AnthropicConfig(model="m")),
        calls=sse(
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 36, "cache_read_input_tokens": 64, "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Two cities."}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me look."}},
            {"type": "content_block_stop", "index": 1},
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
            },
            {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}},
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": '{"city":'},
            },
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": '"Rome"}'},
            },
            {"type": "content_block_stop", "index": 2},
            {
                "type": "content_block_start",
                "index": 3,
                "content_block": {"type": "tool_use", "id": "c2", "name": "time", "input": {}},
            },
            {"type": "content_block_stop", "index": 3},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use"},
                "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 8}},
            },
            {"type": "message_stop"},
        ),
        tools=lambda body: [(tool["name"], tool["input_schema"]) for tool in body["tools"]],
        choices={
            "required": ("tool_choice", {"type": "any"}),
            "none": ("tool_choice", {"type": "none"}),
            "weather": ("tool_choice", {"type": "tool", "name": "weather"}),
        },
        schema=lambda body: body["output_config"]["format"]["schema"],
        images=lambda body: body["messages"][-1]["content"],
        conversation=[
            {"role": "user", "content": "Rome?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}]},
        ],
        refuses=frozenset({"json_object"}),
    )


def gemini_dialogue() -> Dialogue:
    def parts(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": parts}, **members}]}

    return Dialogue(
        wire=GeminiWire(GeminiConfig(model="gemini-2.5-pro")),
        calls=sse(
            parts({"text": "Two cities.", "thought": True}),
            parts({"text": "Let me look."}),
            parts({"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Rome"}}}),
            parts({"functionCall": {"id": "c2", "name": "time"}}, finishReason="STOP")
            | {
                "usageMetadata": {
                    "promptTokenCount": 100,
                    "cachedContentTokenCount": 64,
                    "candidatesTokenCount": 12,
                    "thoughtsTokenCount": 8,
                }
            },
        ),
        tools=lambda body: [
            (one["name"], one["parametersJsonSchema"]) for one in body["tools"][0]["functionDeclarations"]
        ],
        choices={
            "required": ("toolConfig", {"functionCallingConfig": {"mode": "ANY"}}),
            "none": ("toolConfig", {"functionCallingConfig": {"mode": "NONE"}}),
            "weather": (
                "toolConfig",
                {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            ),
        },
        schema=lambda body: body["generationConfig"]["responseJsonSchema"],
        images=lambda body: body["contents"][-1]["parts"],
        conversation=[
            {"role": "user", "parts": [{"text": "Rome?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"result": "sunny"}}}]},
        ],
        refuses=frozenset({"image_urls"}),
    )


def bedrock_dialogue() -> Dialogue:
    def started(block: int, call_id: str, name: str) -> bytes:
        start = {"toolUse": {"toolUseId": call_id, "name": name}}
        return aws_event("contentBlockStart", {"contentBlockIndex": block, "start": start})

    def changed(block: int, delta: dict[str, Any]) -> bytes:
        return aws_event("contentBlockDelta", {"contentBlockIndex": block, "delta": delta})

    def stopped(block: int) -> bytes:
        return aws_event("contentBlockStop", {"contentBlockIndex": block})

    usage = {"inputTokens": 36, "cacheReadInputTokens": 64, "outputTokens": 20, "totalTokens": 120}
    return Dialogue(
        wire=BedrockWire(BedrockConfig(model="m", region="eu-west-1", api_key=Secret("k"))),
        calls=b"".join(
            [
                changed(0, {"reasoningContent": {"text": "Two cities."}}),
                changed(1, {"text": "Let me look."}),
                stopped(1),
                started(2, "c1", "weather"),
                changed(2, {"toolUse": {"input": '{"city":'}}),
                changed(2, {"toolUse": {"input": '"Rome"}'}}),
                stopped(2),
                started(3, "c2", "time"),
                stopped(3),
                aws_event("messageStop", {"stopReason": "tool_use"}),
                aws_event("metadata", {"usage": usage}),
            ]
        ),
        tools=lambda body: [
            (tool["toolSpec"]["name"], tool["toolSpec"]["inputSchema"]["json"]) for tool in body["toolConfig"]["tools"]
        ],
        choices={
            "required": ("toolConfig.toolChoice", {"any": {}}),
            "weather": ("toolConfig.toolChoice", {"tool": {"name": "weather"}}),
        },
        schema=lambda body: json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]),
        images=lambda body: body["messages"][-1]["content"],
        conversation=[
            {"role": "user", "content": [{"text": "Rome?"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}}]},
        ],
        refuses=frozenset({"json_object", "image_urls", "tool_choice_none"}),
    )


DIALOGUES = {
    "openai": openai_dialogue(),
    "anthropic": anthropic_dialogue(),
    "gemini": gemini_dialogue(),
    "bedrock": bedrock_dialogue(),
}


@pytest.fixture(params=DIALOGUES)
def dialogue(request) -> Dialogue:
    return DIALOGUES[request.param]


def a_wish(*messages: Turn, **options: Any) -> Prompt:
    return replace(a_prompt("x"), messages=messages or (Turn(role="user", content="Hi"),), options=Options(**options))


def body_of(dialogue: Dialogue, prompt: Prompt) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(dialogue.wire.body(prompt, Dialect()))
    return body


async def told(dialogue: Dialogue, prompt: Prompt, *pieces: bytes) -> list[ModelEvent]:
    answer = mocked(lambda _: httpx.Response(200, headers=SSE, stream=Upstream(*pieces)))
    return [event async for event in RemoteModel(dialogue.wire, answer).stream(prompt, Deadline.after(30))]


def called(events: list[ModelEvent]) -> list[ToolCall]:
    """The calls put together, as every reader must be able to."""
    calls: list[ToolCall] = []
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.index == len(calls):
                calls.append(ToolCall(id=event.id, name=event.name, arguments=event.arguments))
            else:
                call = calls[event.index]
                calls[event.index] = replace(call, arguments=call.arguments + event.arguments)
    return calls


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(data=st.data())
async def test_calls_thoughts_and_counts_arrive_however_the_bytes_are_split(dialogue, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(dialogue.calls)), max_size=20)))
    pieces = [dialogue.calls[a:b] for a, b in zip([0, *cuts], [*cuts, len(dialogue.calls)], strict=True)]
    events = await told(dialogue, a_wish(tools=(WEATHER, TIME)), *pieces)
    assert [(call.id, call.name, json.loads(call.arguments)) for call in called(events)] == [
        ("c1", "weather", {"city": "Rome"}),
        ("c2", "time", {}),
    ]
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "Two cities."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me look."
    *_, usage, finished = events
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (100, 20, 64)
    assert usage.reasoning_tokens == 8 or dialogue is DIALOGUES["bedrock"]  # which does not tell
    assert finished == Finished(reason="tool_calls", model=dialogue.wire.config.model)


async def test_a_call_that_nobody_offered_is_a_bad_dependency(dialogue):
    with pytest.raises(BadDependency, match="called a tool, and none was offered"):
        await told(dialogue, a_wish(), dialogue.calls)


async def test_a_call_that_is_cut_off_is_never_a_clean_end(dialogue):
    middle = dialogue.calls.index(b"Rome")
    with pytest.raises(BadDependency):
        await told(dialogue, a_wish(tools=(WEATHER, TIME)), dialogue.calls[:middle])


def test_tools_are_offered_with_their_schemas(dialogue):
    offered = dialogue.tools(body_of(dialogue, a_wish(tools=(WEATHER, TIME))))
    assert offered == [("weather", SCHEMA), ("time", {"type": "object", "properties": {}})]


@pytest.mark.parametrize("choice", ["required", "none", "weather"])
async def test_the_choice_of_a_tool_is_told_or_refused(dialogue, choice):
    wanted = OneTool(choice) if choice == "weather" else choice
    prompt = a_wish(tools=(WEATHER,), tool_choice=wanted)
    if choice not in dialogue.choices:
        with pytest.raises(InvalidInput, match="tool_choice"):
            await told(dialogue, prompt)
        return
    place, expected = dialogue.choices[choice]
    value: Any = body_of(dialogue, prompt)
    for step in place.split("."):
        value = value[step]
    assert value == expected


def test_a_conversation_with_calls_is_told_as_it_was(dialogue):
    body = body_of(
        dialogue,
        a_wish(
            Turn(role="user", content="Rome?"),
            Turn(role="assistant", content="", tool_calls=(ToolCall(id="c1", name="weather"),)),
            Turn(role="tool", content="sunny", tool_call_id="c1"),
            tools=(WEATHER,),
        ),
    )
    assert body.get("messages", body.get("contents")) == dialogue.conversation


def test_a_form_is_asked_for_with_its_schema(dialogue):
    assert dialogue.schema(body_of(dialogue, a_wish(response_format=FORM))) == SCHEMA


def test_an_image_is_shown_where_it_stood(dialogue):
    shown = dialogue.images(body_of(dialogue, a_wish(Turn(role="user", content="First then.", images=(PNG,)))))
    assert ["text" in part for part in shown] == [True, False, True]
    assert "aGk=" in json.dumps(shown[1])


async def test_what_would_change_the_answer_is_refused_with_its_place_before_anything_is_asked(dialogue):
    refused = {
        "json_object": (a_wish(response_format="json_object"), "/response_format"),
        "image_urls": (a_wish(Turn(role="user", content="Look:", images=(LINK,))), "/messages/0/content"),
        "tool_choice_none": (a_wish(tools=(TIME,), tool_choice="none"), "/tool_choice"),
    }
    for ability, (prompt, pointer) in refused.items():
        if ability in dialogue.refuses:
            with pytest.raises(InvalidInput) as caught:
                await told(dialogue, prompt)
            assert caught.value.pointer == pointer
        else:
            body_of(dialogue, prompt)
    with pytest.raises(InvalidInput, match="not among the tools"):
        await told(dialogue, a_wish(tools=(WEATHER,), tool_choice=OneTool("time")))


async def test_a_hint_arrives_or_is_named_as_dropped(dialogue):
    hints = {
        "top_p": 0.5,
        "top_k": 977,
        "seed": 11,
        "presence_penalty": 0.25,
        "frequency_penalty": 0.75,
        "effort": "low",
    }
    prompt = a_wish(tools=(WEATHER, TIME), parallel_tool_calls=False, **hints)
    finished = (await told(dialogue, prompt, dialogue.calls))[-1]
    assert isinstance(finished, Finished)
    sent = json.dumps(body_of(dialogue, prompt))
    for hint, value in (*hints.items(), ("parallel_tool_calls", None)):
        parameter = "reasoning_effort" if hint == "effort" else hint
        assert (parameter in finished.dropped) == (hint in dialogue.wire.lacks)
        if value is not None:
            assert (json.dumps(value) in sent) == (hint not in dialogue.wire.lacks)
