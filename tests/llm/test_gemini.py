import json

import httpx
import pytest

from llm.config import GeminiConfig
from llm.dialect import Dialect
from llm.gemini import GeminiWire
from llm.remote import RemoteModel
from rag.base.errors import BadDependency, DeadlineExceeded, QuotaExceeded, Unavailable
from rag.base.secret import Secret
from rag.base.types import Finished, TextDelta, Usage
from tests.prompts import a_prompt
from tests.remote_models import mocked
from tests.upstream import ANSWER, PROMPT, SSE, Handler, events_of, recorded, refusing, streaming, text_of


def model(handler: Handler, **changes) -> RemoteModel:
    config = GeminiConfig(**({"model": "gemini-2.5-flash", "api_key": Secret("AIza-hidden")} | changes))
    return RemoteModel(GeminiWire(config), mocked(handler))


def response(text: str = "", finish: str | None = None, **members: object) -> bytes:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    return b"data: " + json.dumps({"candidates": [candidate]} | members).encode() + b"\n\n"


def quota(quota_id: str) -> dict[str, object]:
    return {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"},
        ],
    }


@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_the_recording_gives_the_answer_however_its_bytes_are_split(step):
    events = await events_of(model(streaming(*recorded("gemini.sse", step))))
    assert text_of(events) == ANSWER
    thoughts = 25
    assert events[-2:] == [
        Usage(input_tokens=412, output_tokens=11 + thoughts, cached_tokens=300, reasoning_tokens=thoughts),
        Finished(reason="stop", model="gemini-2.5-flash"),
    ]


async def test_the_request_is_what_the_wire_asks_for():
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=SSE, content=response("x", "STOP"))

    await events_of(model(handler))
    [request] = seen
    address = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert (request.method, str(request.url)) == ("POST", address)
    assert request.headers["x-goog-api-key"] == "AIza-hidden"
    system, user = PROMPT.messages
    assert json.loads(request.content) == {
        "contents": [{"role": "user", "parts": [{"text": user.content}]}],
        "systemInstruction": {"parts": [{"text": system.content}]},
        "generationConfig": {"maxOutputTokens": 256, "temperature": 0.0},
    }


def test_vertex_is_another_address_and_a_bearer_token():
    base = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/publishers/google"
    config = GeminiConfig(model="gemini-2.5-pro", base_url=base, headers={"authorization": Secret("Bearer ya29")})
    wire = GeminiWire(config)
    assert wire.endpoint.address == "https://europe-west1-aiplatform.googleapis.com"
    assert "temperature" not in json.loads(wire.body(a_prompt("x"), Dialect(temperature=False)))["generationConfig"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
    ],
)
async def test_finish_reasons_are_translated(word, reason):
    events = await events_of(model(streaming(response("x"), response(finish=word))))
    assert events[-1] == Finished(reason=reason, model="gemini-2.5-flash")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("OTHER", "with an error"),
        ("MALFORMED_RESPONSE", "with an error"),
        ("A_NEW_ONE", "with an error"),
        ("UNEXPECTED_TOOL_CALL", "tool"),
    ],
)
async def test_an_end_that_is_none_of_an_answer_is_a_bad_dependency(word, says):
    with pytest.raises(BadDependency, match=says):
        await events_of(model(streaming(response("x", word))))


async def test_a_blocked_prompt_is_a_refusal_though_http_calls_it_a_success():
    with pytest.raises(BadDependency, match=r"\(prohibited_content\): its content policy refused the prompt"):
        await events_of(model(streaming(*recorded("gemini_blocked.sse"))))


async def test_an_error_inside_the_stream_says_when_to_come_back():
    with pytest.raises(QuotaExceeded) as caught:
        await events_of(model(streaming(*recorded("gemini_exhausted.sse"))))
    assert caught.value.retry_after_s == 46.5


async def test_a_quota_per_minute_is_a_rate_limit_and_one_per_day_is_not():
    with pytest.raises(QuotaExceeded) as caught:
        await events_of(model(refusing(429, quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"))))
    assert caught.value.retry_after_s == 46
    with pytest.raises(Unavailable, match="quota_per_day"):
        await events_of(model(refusing(429, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"))))


KEY_INVALID = {
    "code": 400,
    "message": "API key not valid. Please pass a valid API key. AIza-hidden",
    "status": "INVALID_ARGUMENT",
    "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"},
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": "API key not valid"},
    ],
}
TOO_LONG = {
    "code": 400,
    "message": "The input token count (314175) exceeds the maximum number of tokens allowed (131072).",
    "status": "INVALID_ARGUMENT",
}


@pytest.mark.parametrize(
    ("handler", "error", "says"),
    [
        (refusing(400, KEY_INVALID), Unavailable, "credentials"),
        (refusing(403, {"code": 403, "status": "PERMISSION_DENIED"}), Unavailable, "credentials"),
        (refusing(400, TOO_LONG), BadDependency, "context budget"),
        (refusing(400, {"code": 400, "status": "INVALID_ARGUMENT"}), BadDependency, "refused the request"),
        (refusing(404, {"code": 404, "status": "NOT_FOUND"}), BadDependency, "`model`"),
        (refusing(503, {"code": 503, "status": "UNAVAILABLE"}), Unavailable, "overloaded or failing"),
        (lambda _: httpx.Response(500, json=[{"error": {"code": 500}}]), Unavailable, "HTTP 500"),
    ],
)
async def test_refusals_follow_the_decision_table_and_give_nothing_away(handler, error, says):
    with pytest.raises(error, match=says) as caught:
        await events_of(model(handler))
    assert "hidden" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("stream", [b"", response("x"), b'data: {"usageMetadata": {"promptTokenCount": 3}}\n\n'])
async def test_a_stream_that_just_stops_was_cut_off(stream):
    with pytest.raises(BadDependency, match="without finishing"):
        await events_of(model(streaming(stream)))


async def test_a_server_that_does_not_close_holds_up_a_whole_answer_only_briefly():
    events = await events_of(model(streaming(response("x", "STOP"), hangs=True), idle_timeout_s=0.01))
    assert events == [
        TextDelta(text="x"),
        Usage(input_tokens=PROMPT.n_tokens, output_tokens=1, estimated=True),
        Finished(reason="stop", model="gemini-2.5-flash"),
    ]


async def test_a_thought_counts_as_a_first_token():
    thought = {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}
    hanging = model(
        streaming(b"data: " + json.dumps(thought).encode() + b"\n\n", hangs=True),
        first_token_timeout_s=9,
        idle_timeout_s=0.01,
    )
    with pytest.raises(DeadlineExceeded, match="fell silent"):
        await events_of(hanging)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"candidates": 1}', b"\xff"])
async def test_nonsense_is_a_bad_dependency(data):
    with pytest.raises(BadDependency, match="not a piece of an answer"):
        await events_of(model(streaming(b"data: " + data + b"\n\n")))
