import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.chat import PLAIN, Image, JsonSchema, OneTool, Options, ReasoningDelta, Tool, ToolCall, ToolCallDelta
from rag.base.errors import BadDependency, InvalidInput, Overloaded
from rag.base.types import Finished, Principal, TextDelta, Turn, Usage
from rag.serve.bodies import decode
from rag.serve.openai.responses_body import ResponsesBody, prompt_of
from rag.serve.openai.responses_events import ResponseWriter
from rag.serve.openai.responses_reply import begun
from tests.serve.gateway.playing import CALLING, playing
from tests.serve.stage import ANSWER, StageAnswerer, client_of, events_in

PATH = "/v1/responses"
ANN = Principal(subject="ann", tenant="acme", key_id="k1")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WRITTEN = json.dumps(SCHEMA).encode()


def body(**members):
    return decode(json.dumps({"model": "big", "input": "Hi"} | members).encode(), ResponsesBody)


def prompt(**members):
    return prompt_of(body(**members), ANN)


def told(text):
    return [(name, json.loads(data)) for name, data in events_in(text)]


def test_a_plain_question_asks_for_nothing_more():
    asked = prompt(store=True, metadata={"a": "b"}, truncation="disabled", include=["x"], background=False)
    assert asked.messages == (Turn(role="user", content="Hi"),)
    assert asked.options is PLAIN
    assert (asked.tenant, asked.key_id) == ("acme", "k1")


def test_every_parameter_arrives():
    asked = prompt(
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        tools=[{"type": "function", "name": "look", "description": "Looks", "parameters": SCHEMA, "strict": True}],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
    )
    assert asked.messages[0] == Turn(role="system", content="Be brief.")
    assert (asked.max_tokens, asked.temperature) == (9, 0.5)
    assert asked.options == Options(
        tools=(Tool(name="look", description="Looks", schema=WRITTEN, strict=True),),
        tool_choice=OneTool("look"),
        parallel_tool_calls=False,
        response_format=JsonSchema(name="place", schema=WRITTEN, strict=True),
        top_p=0.9,
        effort="low",
    )


def test_items_are_turns_and_the_calls_of_one_answer_are_one():
    asked = prompt(
        input=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look:"},
                    {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
                ],
            },
            {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"},
            {
                "type": "message",
                "id": "m",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}],
            },
            {
                "type": "function_call",
                "id": "f",
                "call_id": "c1",
                "name": "look",
                "arguments": "{}",
                "status": "completed",
            },
            {"type": "function_call", "call_id": "c2", "name": "wait", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        ]
    )
    assert asked.messages == (
        Turn(role="system", content="Be brief."),
        Turn(role="user", content="Look:", images=(Image(at=5, url="https://example.org/a.png"),)),
        Turn(
            role="assistant",
            content="Let me see.",
            tool_calls=(ToolCall(id="c1", name="look"), ToolCall(id="c2", name="wait")),
        ),
        Turn(role="tool", content="sunny", tool_call_id="c1"),
        Turn(role="tool", content="done", tool_call_id="c2"),
    )


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"input": []}, "/input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "/input/0/type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "/input/0/content/0/type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "/input/0/content/0/image_url",
        ),
        ({"previous_response_id": "resp_1"}, "/previous_response_id"),
        ({"background": True}, "/background"),
        ({"tools": [{"type": "web_search"}]}, "/tools/0/type"),
        ({"tools": [{"type": "function", "name": "x", "parameters": []}]}, "/tools/0/parameters"),
    ],
)
def test_what_would_change_the_answer_and_is_not_served_is_refused_with_its_place(members, pointer):
    with pytest.raises(InvalidInput) as caught:
        prompt(**members)
    assert caught.value.pointer == pointer


async def test_a_response_holds_thoughts_text_calls_and_counts():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        reply = (await client.post(PATH, json={"model": "big", "input": "Hi"})).json()
    thought, said, called = reply["output"]
    assert (thought["type"], thought["summary"]) == ("reasoning", [{"type": "summary_text", "text": "hm"}])
    assert said["content"] == [{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}]
    assert (called["call_id"], called["name"], called["arguments"]) == ("c1", "look", '{"at": 1}')
    assert reply["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 14,
    }
    assert (reply["status"], reply["store"], reply["groundwire"]) == ("completed", False, {"dropped": ["seed"]})


async def test_an_answer_that_was_cut_short_says_so():
    _, staged = playing(TextDelta(text="a"), Finished(reason="length", model="m"))
    async with client_of(staged) as client:
        reply = (await client.post(PATH, json={"model": "big", "input": "Hi"})).json()
        events = told((await client.post(PATH, json={"model": "big", "input": "Hi", "stream": True})).text)
    assert (reply["status"], reply["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert events[-1][0] == "response.incomplete"


PIECES = st.lists(
    st.one_of(
        st.builds(TextDelta, text=st.text(min_size=1, max_size=5)),
        st.builds(ReasoningDelta, text=st.text(min_size=1, max_size=5)),
        st.builds(ToolCallDelta, index=st.integers(0, 2), id=st.just("c"), name=st.just("n"), arguments=st.text("{}1")),
        st.builds(Usage, input_tokens=st.just(3), output_tokens=st.just(1)),
    ),
    max_size=15,
)


@given(PIECES)
def test_events_are_numbered_items_open_and_close_and_the_last_holds_what_was_told(pieces):
    writer = ResponseWriter(begun("resp_1", 1, body()))
    data = [writer.write(piece) for piece in [*pieces, Finished(reason="stop", model="m")]]
    events = told((writer.first() + b"".join(data)).decode())
    assert [event["sequence_number"] for _, event in events] == list(range(len(events)))
    assert all(name == event["type"] for name, event in events)
    added = [event["output_index"] for name, event in events if name == "response.output_item.added"]
    done = {event["output_index"]: event["item"] for name, event in events if name == "response.output_item.done"}
    assert added == sorted(done) == list(range(len(added)))
    last = events[-1][1]["response"]
    assert last["output"] == [done[place] for place in sorted(done)]
    for kind in ("output_text", "function_call_arguments"):
        joined: dict[int, str] = {}
        for name, event in events:
            if name == f"response.{kind}.delta":
                joined[event["output_index"]] = joined.get(event["output_index"], "") + event["delta"]
            elif name == f"response.{kind}.done":
                whole = event["text"] if kind == "output_text" else event["arguments"]
                assert joined.get(event["output_index"], "{}") == whole
    spoken = [part["text"] for item in last["output"] if item["type"] == "message" for part in item["content"]]
    assert "".join(spoken) == "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


async def test_the_documents_answer_with_annotations():
    _, staged = playing(answerer=StageAnswerer())
    async with client_of(staged) as client:
        reply = (await client.post(PATH, json={"model": "rag/default", "input": "How fast?"})).json()
        events = told(
            (await client.post(PATH, json={"model": "rag/default", "input": "How fast?", "stream": True})).text
        )
    [item] = reply["output"]
    [part] = item["content"]
    annotation = {
        "type": "url_citation",
        "start_index": 9,
        "end_index": 12,
        "title": "Refunds",
        "url": "file:refunds.md",
    }
    assert (part["text"], part["annotations"]) == (ANSWER.text, [annotation])
    assert [event["annotation"] for name, event in events if name.endswith("annotation.added")] == [annotation]
    assert events[-1][1]["response"]["output"][0]["content"][0]["annotations"] == [annotation]


async def test_failures_have_their_status_and_later_an_event():
    _, staged = playing(Overloaded("no", retry_after_s=7))
    async with client_of(staged) as client:
        refused = await client.post(PATH, json={"model": "big", "input": "Hi", "stream": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_is_overloaded")
    _, staged = playing(TextDelta(text="a"), BadDependency("broke off"))
    async with client_of(staged) as client:
        events = told((await client.post(PATH, json={"model": "big", "input": "Hi", "stream": True})).text)
    name, event = events[-1]
    assert (name, event["message"], event["error"]["code"]) == ("error", "broke off", "upstream_error")
    assert "response.completed" not in {name for name, _ in events}
