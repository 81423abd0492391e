import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.answers import Cited
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.errors import BadDependency, Forbidden, InvalidInput, Overloaded, QuotaExceeded, Unavailable
from rag.base.types import Finished, TextDelta, Usage
from rag.serve.anthropic.messages_reply import EventWriter
from tests.serve.gateway.playing import CALLING, playing
from tests.serve.stage import CITATION, StageAnswerer, client_of, events_in

PATH = "/v1/messages"


def asking(model="big", **members):
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]} | members


def told(text):
    return [(name, json.loads(data)) for name, data in events_in(text)]


async def test_a_message_holds_its_blocks_and_counts():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking())
    body = response.json()
    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Let me look.", "citations": None},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
    ]
    assert (body["stop_reason"], body["role"], body["type"], body["model"]) == (
        "tool_use",
        "assistant",
        "message",
        "big",
    )
    assert body["usage"] == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 6,
        "output_tokens": 4,
    }
    assert body["groundwire"] == {"dropped": ["seed"]}
    assert body["id"] == f"msg_{response.headers['x-request-id']}"


async def test_events_say_the_same_piece_by_piece():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        events = told((await client.post(PATH, json=asking(stream=True))).text)
    assert [name for name, _ in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in events)
    assert [data["delta"] for name, data in events if name == "content_block_delta"] == [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "text_delta", "text": "Let me look."},
        {"type": "input_json_delta", "partial_json": '{"at":'},
        {"type": "input_json_delta", "partial_json": " 1}"},
    ]
    assert events[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2][1]["usage"]["cache_read_input_tokens"] == 6


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, text=st.text(min_size=1, max_size=5)),
        st.builds(ReasoningDelta, text=st.text(min_size=1, max_size=5)),
        st.builds(ToolCallDelta, index=st.integers(0, 2), id=st.just("c"), name=st.just("n"), arguments=st.text("{}1")),
        st.just(Cited(citation=CITATION)),
        st.builds(Usage, input_tokens=st.just(3), output_tokens=st.just(1)),
    ),
    max_size=15,
)


@given(EVENTS)
def test_blocks_open_and_close_one_after_the_other_and_nothing_is_lost(events):
    writer = EventWriter("msg_1", "m", 3)
    text = b"".join(map(writer.write, [*events, Finished(reason="stop", model="m")])).decode()
    opened: list[int] = []
    closed: list[int] = []
    texts: list[str] = []
    arguments: dict[int, str] = {}
    for name, data in told(text):
        if name == "content_block_start":
            assert len(opened) == len(closed), "the last block is closed first"
            opened.append(data["index"])
        elif name == "content_block_stop":
            closed.append(data["index"])
        elif name == "content_block_delta":
            assert data["index"] in opened
            texts.append(data["delta"].get("text", ""))
            if "partial_json" in data["delta"]:
                arguments[data["index"]] = arguments.get(data["index"], "") + data["delta"]["partial_json"]
    assert opened == closed == list(range(len(opened)))
    assert "".join(texts) == "".join(event.text for event in events if isinstance(event, TextDelta))
    written = [event for event in events if isinstance(event, ToolCallDelta)]
    assert sorted(arguments.values()) == sorted(
        joined
        for index in {event.index for event in written}
        if (joined := "".join(event.arguments for event in written if event.index == index))
    )


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidInput("no", pointer="/tools"), 400, "invalid_request_error"),
        (QuotaExceeded("no", retry_after_s=7), 429, "rate_limit_error"),
        (Overloaded("no", retry_after_s=7), 529, "overloaded_error"),
        (Unavailable("no"), 503, "api_error"),
        (BadDependency("no"), 502, "api_error"),
        (Forbidden("no"), 403, "permission_error"),
        (ValueError("secret"), 500, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_has_its_status_and_anthropic_s_shape(error, status, kind, stream):
    _, staged = playing(error)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking(stream=stream))
    body = response.json()
    assert (response.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert response.headers.get("retry-after") == ("7" if getattr(error, "retry_after_s", None) else None)


async def test_a_failure_in_mid_stream_is_an_error_event_and_never_a_clean_end():
    _, staged = playing(TextDelta(text="a"), BadDependency("broke off"))
    async with client_of(staged) as client:
        events = told((await client.post(PATH, json=asking(stream=True))).text)
    assert events[-1][0] == "error"
    assert events[-1][1]["error"] == {"type": "api_error", "message": "broke off"}
    assert "message_stop" not in {name for name, _ in events}


async def test_the_documents_answer_with_their_passages_as_search_results():
    citation = {
        "type": "search_result_location",
        "cited_text": "Refunds take 14 days.",
        "source": "file:refunds.md",
        "title": "Refunds",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    }
    _, staged = playing(answerer=StageAnswerer())
    async with client_of(staged) as client:
        body = (await client.post(PATH, json=asking("rag/default", system="Be brief."))).json()
        events = told((await client.post(PATH, json=asking("rag/default", stream=True))).text)
    assert body["content"] == [{"type": "text", "text": "14 days. [1]", "citations": [citation]}]
    assert (body["stop_reason"], body["groundwire"]) == ("end_turn", {"dropped": ["system"]})
    deltas = [data["delta"] for name, data in events if name == "content_block_delta"]
    assert deltas[-1] == {"type": "citations_delta", "citation": citation}


async def test_a_call_whose_arguments_are_no_json_is_still_told():
    broken = ToolCallDelta(index=0, id="c1", name="look", arguments='{"at":')
    _, staged = playing(broken, Finished(reason="tool_calls", model="m"))
    async with client_of(staged) as client:
        [block] = (await client.post(PATH, json=asking())).json()["content"]
    assert block["input"] == {"arguments": '{"at":'}


async def test_a_model_that_is_not_there_and_a_key_that_is_wrong_are_told_in_its_shape():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        missing = await client.post(PATH, json=asking("nope"))
        refused = await client.post(PATH, json=asking(), headers={"authorization": "Bearer gw_x_y"})
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


async def test_tokens_are_counted_as_a_call_s_own_prompt_is():
    body = {"model": "big", "messages": [{"role": "user", "content": "x" * 400}], "system": "y" * 40}
    model, staged = playing(*CALLING)
    async with client_of(staged) as client:
        counted = (await client.post(f"{PATH}/count_tokens", json=body)).json()
        await client.post(PATH, json=body | {"max_tokens": 5})
    assert counted == {"input_tokens": 100 + 10 + 2 * 4}
    assert model.prompts[0].n_tokens == counted["input_tokens"]


async def test_tokens_for_a_model_that_nobody_has_are_not_counted():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        response = await client.post(f"{PATH}/count_tokens", json=asking("nope") | {"max_tokens": 5})
        unknown = await client.post(f"{PATH}/count_tokens", json={"model": "nope", "messages": asking()["messages"]})
    assert (response.status_code, unknown.status_code) == (400, 404)
