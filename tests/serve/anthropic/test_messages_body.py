import json

import pytest

from rag.base.chat import PLAIN, Image, JsonSchema, OneTool, Options, Tool, ToolCall
from rag.base.errors import InvalidInput
from rag.base.types import Principal, Turn
from rag.serve.anthropic.messages_body import MessagesBody, prompt_of
from rag.serve.bodies import decode

ANN = Principal(subject="ann", tenant="acme", key_id="k1")
HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WRITTEN = json.dumps(SCHEMA).encode()


def prompt(**body):
    whole = {"model": "m", "max_tokens": 9, "messages": [HI]} | body
    return prompt_of(decode(json.dumps(whole).encode(), MessagesBody), ANN)


def test_a_plain_question_asks_for_nothing_more():
    asked = prompt()
    assert asked.messages == (Turn(role="user", content="Hi"),)
    assert asked.options is PLAIN
    assert (asked.max_tokens, asked.temperature, asked.tenant, asked.key_id) == (9, None, "acme", "k1")


def test_every_parameter_arrives():
    asked = prompt(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["END"],
        tools=[{"name": "look", "description": "Looks", "input_schema": SCHEMA, "strict": True}],
        tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "max"},
        metadata={"user_id": "u"},
        service_tier="auto",
    )
    assert asked.messages[0] == Turn(role="system", content="Be brief.")
    assert asked.temperature == 0.5
    assert asked.options == Options(
        tools=(Tool(name="look", description="Looks", schema=WRITTEN, strict=True),),
        tool_choice=OneTool("look"),
        parallel_tool_calls=False,
        response_format=JsonSchema(name="answer", schema=WRITTEN, strict=True),
        stop=("END",),
        top_p=0.9,
        top_k=3,
        effort="max",
    )


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "disabled"}, "none"),
        ({"type": "adaptive"}, None),
        ({"type": "enabled", "budget_tokens": 1_024}, "low"),
        ({"type": "enabled", "budget_tokens": 10_000}, "medium"),
        ({"type": "enabled", "budget_tokens": 32_000}, "high"),
    ],
)
def test_a_budget_of_thoughts_is_an_effort(thinking, effort):
    assert prompt(thinking=thinking).options.effort == effort


@pytest.mark.parametrize(("kind", "choice"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_choices_have_other_names(kind, choice):
    assert prompt(tool_choice={"type": kind}).options.tool_choice == choice


def test_a_conversation_with_calls_thoughts_and_images_is_read():
    asked = prompt(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                    {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "no"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "And now?"},
                ],
            },
        ]
    )
    assert asked.messages == (
        Turn(
            role="user",
            content="Look:",
            images=(
                Image(at=5, media_type="image/png", data="aGk="),
                Image(at=5, url="https://example.org/a.png"),
            ),
        ),
        Turn(
            role="assistant",
            content="Let me see.",
            tool_calls=(ToolCall(id="c1", name="look", arguments='{"at": 1}'),),
        ),
        Turn(role="tool", content="no", tool_call_id="c1", is_failure=True),
        Turn(role="user", content="And now?"),
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": []}, "/messages"),
        ({"messages": [HI, {"role": "assistant", "content": "It is"}]}, "/messages/1"),
        ({"max_tokens": 0}, "/max_tokens"),
        ({"mcp_servers": []}, "/mcp_servers"),
        ({"tools": [{"type": "bash_20250124", "name": "bash", "input_schema": {}}]}, "/tools/0/type"),
        ({"tools": [{"name": "x", "input_schema": []}]}, "/tools/0/input_schema"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "/messages/0/content/0/type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]},
            "/messages/0/content/0/source",
        ),
    ],
)
def test_what_would_change_the_answer_and_is_not_served_is_refused_with_its_place(body, pointer):
    with pytest.raises(InvalidInput) as caught:
        prompt(**body)
    assert caught.value.pointer == pointer
