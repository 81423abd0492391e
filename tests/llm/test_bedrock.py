import json

import httpx
import pytest

from llm.bedrock import BedrockWire
from llm.config import BedrockConfig
from llm.remote import RemoteModel
from rag.base.errors import BadDependency, DeadlineExceeded, QuotaExceeded, Unavailable
from rag.base.secret import Secret
from rag.base.types import Finished, TextDelta, Usage
from rag.bench.upstream.bedrock import framed, string_header
from rag.bench.upstream.bedrock import message as aws_event
from tests.remote_models import mocked
from tests.upstream import ANSWER, PROMPT, Handler, events_of, streaming, text_of

EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}
MODEL = "anthropic.claude-3-5-haiku-20241022-v1:0"


def model(handler: Handler, **changes) -> RemoteModel:
    config = BedrockConfig(**({"model": MODEL, "region": "eu-west-1", "api_key": Secret("ABSK-hidden")} | changes))
    return RemoteModel(BedrockWire(config), mocked(handler))


def text(piece: str) -> bytes:
    return aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}, "p": "abcdefgh"})


def stop(reason: str) -> bytes:
    return aws_event("messageStop", {"stopReason": reason, "p": "abc"})


START = aws_event("messageStart", {"role": "assistant", "p": "abcdefghijklm"})
USAGE = aws_event(
    "metadata",
    {
        "metrics": {"latencyMs": 812},
        "usage": {
            "inputTokens": 12,
            "outputTokens": 14,
            "totalTokens": 426,
            "cacheReadInputTokens": 300,
            "cacheWriteInputTokens": 100,
        },
    },
)
RECORDING = b"".join(
    [
        START,
        aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
        aws_event("contentBlockStop", {"contentBlockIndex": 0}),
        text("The embargo began"),
        aws_event("somethingNew", {"delta": [1]}),
        text(" in October 1973 [1]."),
        aws_event("contentBlockStop", {"contentBlockIndex": 1}),
        stop("end_turn"),
        USAGE,
    ]
)


def answering(*pieces: bytes, **behaviour) -> Handler:
    return streaming(*pieces, headers=EVENT_STREAM, **behaviour)


def refusing(status: int, kind: str, message: str = "") -> Handler:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return lambda _: httpx.Response(status, headers=headers, json={"message": message})


@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_a_conversation_gives_the_answer_however_its_bytes_are_split(step):
    pieces = [RECORDING[at : at + step] for at in range(0, len(RECORDING), step)]
    events = await events_of(model(answering(*pieces)))
    assert text_of(events) == ANSWER
    cached, written = 300, 100
    assert events[-2:] == [
        Usage(input_tokens=12 + cached + written, output_tokens=14, cached_tokens=cached, cache_write_tokens=written),
        Finished(reason="stop", model=MODEL),
    ]


async def test_the_request_is_what_the_wire_asks_for():
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=EVENT_STREAM, content=RECORDING)

    await events_of(model(handler))
    [request] = seen
    assert (request.method, str(request.url)) == (
        "POST",
        f"https://bedrock-runtime.eu-west-1.amazonaws.com/model/{MODEL}/converse-stream",
    )
    assert request.headers["authorization"] == "Bearer ABSK-hidden"
    assert request.headers["accept"] == "application/vnd.amazon.eventstream"
    system, user = PROMPT.messages
    assert json.loads(request.content) == {
        "messages": [{"role": "user", "content": [{"text": user.content}]}],
        "system": [{"text": system.content}],
        "inferenceConfig": {"maxTokens": 256, "temperature": 0.0},
    }


async def test_an_arn_is_one_segment_of_the_path():
    arn = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/ab"
    wire = BedrockWire(BedrockConfig(model=arn, region="eu-west-1", base_url="https://vpce-1.example/"))
    request = await wire.endpoint.request(b"{}")
    path = "/model/arn:aws:bedrock:eu-west-1:1:application-inference-profile%2Fab/converse-stream"
    assert (request.address.origin.host, request.address.target) == ("vpce-1.example", path)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("a_new_one", "stop"),
    ],
)
async def test_stop_reasons_are_translated(word, reason):
    events = await events_of(model(answering(START, text("x"), stop(word), USAGE)))
    assert events[-1] == Finished(reason=reason, model=MODEL)


@pytest.mark.parametrize(
    ("word", "says"), [("tool_use", "tool"), ("malformed_tool_use", "tool"), ("malformed_model_output", "an error")]
)
async def test_an_end_that_is_none_of_an_answer_is_a_bad_dependency(word, says):
    with pytest.raises(BadDependency, match=says):
        await events_of(model(answering(START, text("x"), stop(word), USAGE)))


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("internalServerException", Unavailable, "HTTP 500"),
        ("modelStreamErrorException", Unavailable, "HTTP 424"),
        ("serviceUnavailableException", Unavailable, "HTTP 503"),
        ("throttlingException", QuotaExceeded, "HTTP 429"),
        ("validationException", BadDependency, "HTTP 400"),
        ("modelTimeoutException", Unavailable, "HTTP 408"),
        ("aNewException", Unavailable, "HTTP 502"),
    ],
)
async def test_an_exception_inside_the_stream_counts_like_its_status(kind, error, says):
    with pytest.raises(error, match=says) as caught:
        await events_of(model(answering(START, text("x"), aws_event(kind, {"message": "hidden"}, "exception"))))
    assert "hidden" not in str(caught.value)


async def test_an_error_without_a_model_is_an_overload():
    headers = string_header(":message-type", "error") + string_header(":error-code", "InternalError")
    with pytest.raises(Unavailable, match="internalerror"):
        await events_of(model(answering(START, framed(b"", headers))))


@pytest.mark.parametrize(
    ("handler", "error", "says"),
    [
        (refusing(403, "AccessDeniedException", "ABSK-hidden"), Unavailable, "credentials"),
        (refusing(429, "ThrottlingException", "Too many requests"), QuotaExceeded, "rate limit"),
        (refusing(429, "ThrottlingException", "Too many tokens per day, please wait"), Unavailable, "credit"),
        (refusing(429, "ModelNotReadyException"), QuotaExceeded, "modelnotreadyexception"),
        (refusing(400, "ValidationException", "Input is too long for requested model."), BadDependency, "budget"),
        (refusing(400, "ValidationException", "Malformed input"), BadDependency, "refused the request"),
        (refusing(404, "ResourceNotFoundException"), BadDependency, "`model`"),
        (refusing(408, "ModelTimeoutException"), Unavailable, "overloaded or failing"),
        (refusing(424, "ModelErrorException"), Unavailable, "overloaded or failing"),
        (lambda _: httpx.Response(503, text="<html>"), Unavailable, "HTTP 503"),
    ],
)
async def test_refusals_follow_the_decision_table_and_give_nothing_away(handler, error, says):
    with pytest.raises(error, match=says) as caught:
        await events_of(model(handler))
    assert "hidden" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_damaged_message_is_a_bad_dependency():
    damaged = bytearray(text("x"))
    damaged[-10] ^= 1
    with pytest.raises(BadDependency, match="checksum"):
        await events_of(model(answering(START, bytes(damaged))))


@pytest.mark.parametrize("stream", [b"", START, START + text("x"), START + text("x") + stop("end_turn")[:-1]])
async def test_a_stream_that_just_stops_was_cut_off(stream):
    with pytest.raises(BadDependency, match="without finishing"):
        await events_of(model(answering(stream)))


async def test_a_whole_answer_survives_the_loss_of_its_usage():
    for behaviour in ({}, {"breaks": httpx.ReadError("reset")}, {"hangs": True}):
        events = await events_of(model(answering(START, text("x"), stop("end_turn"), **behaviour), idle_timeout_s=0.01))
        assert events == [
            TextDelta(text="x"),
            Usage(input_tokens=PROMPT.n_tokens, output_tokens=1, estimated=True),
            Finished(reason="stop", model=MODEL),
        ]


async def test_the_start_of_a_message_does_not_feign_a_first_token():
    with pytest.raises(DeadlineExceeded, match="no first token"):
        await events_of(model(answering(START, hangs=True), first_token_timeout_s=0.01))


@pytest.mark.parametrize("payload", [b"{", b"[]", b'{"delta": 1}', b"\xff"])
async def test_nonsense_is_a_bad_dependency(payload):
    nonsense = framed(payload, string_header(":event-type", "contentBlockDelta"))
    with pytest.raises(BadDependency, match="not an event of a conversation"):
        await events_of(model(answering(nonsense)))
