import json

import httpx
import pytest
from msgspec.structs import replace

from llm.anthropic import AnthropicWire
from llm.config import AnthropicConfig
from llm.dialect import Dialect
from llm.remote import RemoteModel
from rag.base.errors import BadDependency, DeadlineExceeded, QuotaExceeded, Unavailable
from rag.base.secret import Secret
from rag.base.types import Finished, TextDelta, Turn, Usage
from tests.prompts import a_prompt
from tests.remote_models import mocked
from tests.upstream import ANSWER, PROMPT, SSE, Handler, events_of, recorded, refusing, streaming, text_of


def model(handler: Handler, **changes) -> RemoteModel:
    config = AnthropicConfig(**({"model": "claude", "api_key": Secret("sk-ant-hidden")} | changes))
    return RemoteModel(AnthropicWire(config), mocked(handler))


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


START = event("message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}})
TEXT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"})


def end(stop_reason: str) -> bytes:
    stopped = event("message_delta", delta={"stop_reason": stop_reason}, usage={"output_tokens": 2})
    return stopped + event("message_stop")


@pytest.mark.parametrize(
    ("recording", "usage"),
    [
        (
            "anthropic",
            Usage(input_tokens=412, output_tokens=14, cached_tokens=300, cache_write_tokens=100),
        ),  # what the cache held counts as input
        ("anthropic_thinking", Usage(input_tokens=412, output_tokens=60)),  # counts are cumulative: the last holds
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_recordings_give_the_answer_however_their_bytes_are_split(recording, usage, step):
    events = await events_of(model(streaming(*recorded(f"{recording}.sse", step))))
    assert text_of(events) == ANSWER
    assert events[-2:] == [usage, Finished(reason="stop", model="claude")]


async def test_the_request_keeps_the_instructions_apart():
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=SSE, content=START + TEXT + end("end_turn"))

    await events_of(model(handler))
    [request] = seen
    assert (request.method, str(request.url)) == ("POST", "https://api.anthropic.com/v1/messages")
    assert request.headers["x-api-key"] == "sk-ant-hidden"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    system, user = PROMPT.messages
    assert json.loads(request.content) == {
        "model": "claude",
        "max_tokens": 256,
        "system": system.content,
        "messages": [{"role": "user", "content": user.content}],
        "temperature": 0.0,
        "stream": True,
    }


def test_instructions_are_joined_and_a_temperature_off_the_scale_is_its_end():
    prompt = a_prompt("What?")
    turns = (Turn(role="user", content="hi"), Turn(role="system", content="More."), Turn(role="assistant", content="o"))
    hot = replace(prompt, temperature=1.7, messages=(prompt.messages[0], *turns))
    body = json.loads(AnthropicWire(AnthropicConfig(model="claude")).body(hot, Dialect()))
    assert body["system"] == "Answer from the sources.\n\nMore."
    assert body["messages"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "o"}]
    assert body["temperature"] == 1.0


async def test_a_model_that_takes_no_temperature_is_asked_without_one_from_then_on():
    asked: list[bool] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append("temperature" in json.loads(request.content))
        if asked[-1]:
            told = {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}
            return httpx.Response(400, json={"type": "error", "error": told})
        return httpx.Response(200, headers=SSE, content=START + TEXT + end("end_turn"))

    answering = model(handler)
    await events_of(answering)
    await events_of(answering)
    assert asked == [True, False, False]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("a_new_one", "stop"),
    ],
)
async def test_stop_reasons_are_translated(word, reason):
    events = await events_of(model(streaming(START, TEXT, end(word))))
    assert events[-1] == Finished(reason=reason, model="claude")


@pytest.mark.parametrize("word", ["tool_use", "pause_turn"])
async def test_a_tool_that_nobody_offered_is_a_bad_dependency(word):
    with pytest.raises(BadDependency, match="tool"):
        await events_of(model(streaming(START, TEXT, end(word))))


async def test_an_overload_inside_the_stream_counts_like_a_529():
    with pytest.raises(Unavailable, match=r"HTTP 529 \(overloaded_error\)"):
        await events_of(model(streaming(*recorded("anthropic_overloaded.sse"))))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"type": "rate_limit_error"}, QuotaExceeded),
        ({"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}, Unavailable),
        ({"type": "api_error"}, Unavailable),
        ({"type": "invalid_request_error"}, BadDependency),
        (None, Unavailable),
    ],
)
async def test_errors_inside_the_stream_are_read_by_their_finest_word(error, raised):
    with pytest.raises(raised):
        await events_of(model(streaming(START, event("error", error=error))))


@pytest.mark.parametrize(
    ("handler", "error", "says"),
    [
        (refusing(401, {"type": "authentication_error", "message": "sk-ant-hidden"}), Unavailable, "credentials"),
        (refusing(402, {"type": "billing_error"}), Unavailable, "credit"),
        (refusing(400, {"message": "Your credit balance is too low to access the API."}), Unavailable, "credit"),
        (refusing(400, {"message": "prompt is too long: 2 tokens > 1 maximum"}), BadDependency, "context budget"),
        (refusing(413, {"type": "request_too_large"}), BadDependency, "context budget"),
        (refusing(404, {"type": "not_found_error"}), BadDependency, "`model`"),
        (refusing(409, {"type": "conflict_error"}), Unavailable, "overloaded or failing"),
        (refusing(529, {"type": "overloaded_error"}), Unavailable, "overloaded or failing"),
        (lambda _: httpx.Response(503, text="<html>"), Unavailable, "HTTP 503"),
    ],
)
async def test_refusals_follow_the_decision_table_and_give_nothing_away(handler, error, says):
    with pytest.raises(error, match=says) as caught:
        await events_of(model(handler))
    assert "hidden" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_rate_limit_says_when_to_come_back():
    with pytest.raises(QuotaExceeded) as caught:
        await events_of(model(refusing(429, {"type": "rate_limit_error"}, {"retry-after": "7"})))
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("stream", [START + TEXT, START, b"", event("ping")])
async def test_a_stream_that_just_stops_was_cut_off(stream):
    with pytest.raises(BadDependency, match="without finishing"):
        await events_of(model(streaming(stream)))


async def test_a_stream_that_is_cut_off_after_its_stop_reason_lost_nothing():
    stopped = end("end_turn").replace(event("message_stop"), b"")
    events = await events_of(model(streaming(START, TEXT, stopped, breaks=httpx.ReadError("reset"))))
    assert events == [
        TextDelta(text="x"),
        Usage(input_tokens=9, output_tokens=2),
        Finished(reason="stop", model="claude"),
    ]


async def test_events_without_a_name_and_unknown_ones_are_understood_or_skipped():
    unnamed = TEXT.split(b"\n", 1)[1]
    events = await events_of(model(streaming(START, event("new", delta=[]), unnamed, end("end_turn"))))
    assert text_of(events) == "x"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"type": 1}', b"\xff"])
async def test_nonsense_is_a_bad_dependency(data):
    with pytest.raises(BadDependency, match="not an event of a message"):
        await events_of(model(streaming(b"data: " + data + b"\n\n")))


async def test_pings_and_the_start_of_a_message_do_not_feign_a_first_token():
    with pytest.raises(DeadlineExceeded, match="no first token"):
        await events_of(model(streaming(START, event("ping"), hangs=True), first_token_timeout_s=0.01))


async def test_one_json_document_in_place_of_a_stream_is_a_bad_dependency():
    with pytest.raises(BadDependency, match="instead of a stream"):
        await events_of(model(lambda _: httpx.Response(200, json={"type": "message"})))
