import json

import pytest
from msgspec.structs import replace

from rag.base.chat import PLAIN, Image, JsonSchema, OneTool, Options, Tool, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Principal, Turn
from rag.serve.bodies import decode
from rag.serve.openai.chat_body import ChatBody, prompt_of

ANN = Principal(subject="ann", tenant="acme", key_id="k1")
HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def prompt(**body):
    return prompt_of(decode(json.dumps({"model": "m", "messages": [HI]} | body).encode(), ChatBody), ANN)


def fault(**body):
    with pytest.raises(InvalidInput) as caught:
        prompt(**body)
    return caught.value.pointer


def test_a_plain_question_asks_for_nothing_more():
    asked = prompt()
    assert asked.messages == (Turn(role="user", content="Hi"),)
    assert asked.options is PLAIN
    assert (asked.max_tokens, asked.temperature, asked.question) == (None, None, "Hi")
    assert (asked.tenant, asked.key_id) == ("acme", "k1")


def test_every_parameter_arrives():
    asked = prompt(
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        stop="END",
        reasoning_effort="high",
        parallel_tool_calls=False,
        tool_choice={"type": "function", "function": {"name": "look"}},
        tools=[
            {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": SCHEMA}},
            {"type": "function", "function": {"name": "wait", "strict": True}},
        ],
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
    )
    written = json.dumps(SCHEMA).encode()
    assert (asked.max_tokens, asked.temperature) == (5, 0.5)
    assert asked.options == Options(
        tools=(Tool(name="look", description="Looks", schema=written), Tool(name="wait", strict=True)),
        tool_choice=OneTool("look"),
        parallel_tool_calls=False,
        response_format=JsonSchema(name="place", schema=written, strict=True),
        stop=("END",),
        top_p=0.9,
        top_k=3,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        effort="high",
    )


def test_the_newer_name_of_the_limit_wins():
    assert prompt(max_tokens=5, max_completion_tokens=9).max_tokens == 9


def test_a_conversation_with_calls_and_images_is_read():
    asked = prompt(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "this"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
                    {"type": "text", "text": "and"},
                    {"type": "text", "text": "that"},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        ]
    )
    assert asked.messages == (
        Turn(role="system", content="Be brief."),
        Turn(
            role="user",
            content="thisand\n\nthat",
            images=(
                Image(at=4, media_type="image/png", data="aGk=", detail="low"),
                Image(at=13, url="https://example.org/a.png"),
            ),
        ),
        Turn(role="assistant", content="", tool_calls=(ToolCall(id="c1", name="look"),)),
        Turn(role="tool", content="sunny", tool_call_id="c1"),
    )
    assert asked.question == "thisand\n\nthat"


def test_what_changes_nothing_is_taken():
    ignored = {
        "user": "u",
        "metadata": {"a": "b"},
        "store": True,
        "service_tier": "auto",
        "safety_identifier": "x",
        "prompt_cache_key": "k",
        "prediction": {"type": "content", "content": "x"},
        "n": 1,
        "logprobs": False,
        "modalities": ["text"],
        "stream_options": None,
        "response_format": {"type": "text"},
        "tool_choice": None,
    }
    assert replace(prompt(**ignored), n_tokens=0) == replace(prompt(), n_tokens=0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"n": 2}, "/n"),
        ({"logprobs": True}, "/logprobs"),
        ({"modalities": ["audio"]}, "/modalities"),
        ({"min_p": 0.1}, "/min_p"),
        ({"logit_bias": {"50256": -100}}, "/logit_bias"),
        ({"functions": []}, "/functions"),
        ({"max_tokens": 0}, "/max_tokens"),
        ({"max_tokens": 10**18}, "/max_tokens"),
        ({"temperature": 3}, "/temperature"),
        ({"messages": [{"role": "function", "content": "x"}]}, "/messages/0/role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "/messages/0/content/0/type",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]}
                ]
            },
            "/messages/0/content/0/image_url/url",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "x", "parameters": []}}]},
            "/tools/0/function/parameters",
        ),
        ({"tools": [{"type": "custom"}]}, "/tools/0/type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "/response_format/json_schema/schema",
        ),
    ],
)
def test_what_would_change_the_answer_and_is_not_served_is_refused_with_its_place(body, pointer):
    assert fault(**body) == pointer
