import gzip
import json
from contextlib import aclosing

import httpx
import pytest

from llm.config import OpenAIConfig
from llm.openai import OpenAIWire
from llm.remote import RemoteModel
from rag.base.deadline import Deadline
from rag.base.errors import (
    BadDependency,
    ConfigError,
    DeadlineExceeded,
    GroundwireError,
    QuotaExceeded,
    Unavailable,
    for_the_log,
)
from rag.base.secret import Secret
from rag.base.types import Finished, TextDelta, Usage
from tests.remote_models import mocked
from tests.upstream import ANSWER, PROMPT, SSE, Handler, Upstream, events_of, recorded, refusing, streaming, text_of


def config(**changes) -> OpenAIConfig:
    return OpenAIConfig(**({"base_url": "http://upstream/v1/", "model": "m", "api_key": Secret("sk-hidden")} | changes))


def model(handler: Handler, **changes) -> RemoteModel:
    return RemoteModel(OpenAIWire(config(**changes)), mocked(handler), unix_time=lambda: 1_763_900_000.0)


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("recording", "usage"),
    [
        ("openai", Usage(input_tokens=412, output_tokens=11)),
        ("vllm", Usage(input_tokens=398, output_tokens=10)),
        ("ollama", Usage(input_tokens=PROMPT.n_tokens, output_tokens=11, estimated=True)),
        ("llamacpp", Usage(input_tokens=401, output_tokens=12)),
        ("openrouter", Usage(input_tokens=405, output_tokens=11)),
        ("mistral", Usage(input_tokens=420, output_tokens=32)),
        ("azure", Usage(input_tokens=412, output_tokens=11)),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_every_recorded_server_gives_the_same_answer_however_its_bytes_are_split(recording, usage, step):
    events = await events_of(model(streaming(*recorded(f"{recording}.sse", step))))
    assert text_of(events) == ANSWER
    assert events[-2:] == [usage, Finished(reason="stop", model="m")]


async def test_the_request_is_what_the_wire_asks_for():
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=SSE, content=chunk("x", "stop"))

    await events_of(model(handler, headers={"X-Team": Secret("search")}))
    [request] = seen
    assert (request.method, str(request.url)) == ("POST", "http://upstream/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-hidden"
    assert request.headers["x-team"] == "search"
    assert json.loads(request.content) == {
        "model": "m",
        "messages": [{"role": turn.role, "content": turn.content} for turn in PROMPT.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 256,
        "temperature": 0.0,
    }


async def test_azure_takes_its_key_and_its_version_its_own_way():
    azure = config(
        base_url="https://acme.openai.azure.com/openai/deployments/gpt-4o",
        api_key_header="api-key",
        api_version="2024-10-21",
    )
    request = await OpenAIWire(azure).endpoint.request(b"{}")
    assert request.address.text == (
        "https://acme.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    )
    assert request.headers["api-key"] == "sk-hidden"
    assert "authorization" not in request.headers


async def test_azures_filter_refuses_the_prompt():
    filtered = {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}, "status": 400}
    with pytest.raises(BadDependency, match="content policy refused"):
        await events_of(model(refusing(400, filtered)))


async def test_a_server_that_answers_with_one_json_object_is_understood():
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 7},
    }
    events = await events_of(model(lambda _: httpx.Response(200, json=body)))
    assert events == [
        TextDelta(text=ANSWER),
        Usage(input_tokens=9, output_tokens=7),
        Finished(reason="length", model="m"),
    ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("MAX_TOKENS", "length"),
    ],
)
async def test_finish_reasons_are_translated(word, reason):
    events = await events_of(model(streaming(chunk("x"), chunk(finish=word))))
    assert events[-1] == Finished(reason=reason, model="m")


@pytest.mark.parametrize("stream", [[chunk("x"), b"data: [DONE]"], [chunk("x", "stop")]])
async def test_either_sign_of_the_end_is_enough(stream):
    assert (await events_of(model(streaming(*stream))))[-1] == Finished(reason="stop", model="m")


@pytest.mark.parametrize("stream", [recorded("cut.sse")[0], b"", b": ping\n\n", chunk("x")])
async def test_a_stream_that_just_stops_was_cut_off(stream):
    with pytest.raises(BadDependency, match="without finishing"):
        await events_of(model(streaming(stream)))


@pytest.mark.parametrize(
    ("recording", "error"),
    [("openai_error", Unavailable), ("openrouter_error", QuotaExceeded), ("vllm_error", Unavailable)],
)
async def test_an_error_inside_a_stream_counts_like_its_status(recording, error):
    with pytest.raises(error):
        await events_of(model(streaming(*recorded(f"{recording}.sse"))))


async def test_an_error_event_without_an_error_object_is_an_error_all_the_same():
    stream = b'event: error\ndata: {"message": "out of memory", "code": 503}\n\n'
    with pytest.raises(Unavailable, match="HTTP 503"):
        await events_of(model(streaming(chunk("x"), stream)))


@pytest.mark.parametrize(
    "stream", [b"data: {not json}\n\n", b"data: []\n\n", b'data: {"choices": 3}\n\n', b"data: \xff\n\n"]
)
async def test_nonsense_in_the_stream_is_a_bad_dependency(stream):
    with pytest.raises(BadDependency, match="not a chat completion chunk"):
        await events_of(model(streaming(stream)))


async def test_a_tool_call_that_nobody_offered_is_a_bad_dependency():
    with pytest.raises(BadDependency, match="tool"):
        await events_of(model(streaming(chunk("x", "tool_calls"))))


@pytest.mark.parametrize(
    ("handler", "error", "says"),
    [
        (refusing(401, {"code": "invalid_api_key", "message": "bad key sk-hidden"}), Unavailable, "credentials"),
        (refusing(402, {"message": "no credits"}), Unavailable, "credentials"),
        (refusing(403), Unavailable, "credentials"),
        (refusing(429, {"type": "insufficient_quota"}), Unavailable, "credentials"),
        (refusing(429, {"code": "rate_limit_exceeded"}), QuotaExceeded, "rate limit"),
        (refusing(500, "oops"), Unavailable, "overloaded or failing"),
        (refusing(529, {"type": "overloaded_error"}), Unavailable, "overloaded or failing"),
        (refusing(408), Unavailable, "overloaded or failing"),
        (refusing(404, {"code": "model_not_found"}), BadDependency, "`model`"),
        (refusing(307), BadDependency, "`base_url`"),
        (refusing(400, {"code": "context_length_exceeded"}), BadDependency, "context budget"),
        (refusing(413), BadDependency, "context budget"),
        (refusing(400, {"code": "content_filter"}), BadDependency, "content policy"),
        (refusing(422, {"message": "the question was: secret"}), BadDependency, "refused the request"),
    ],
)
async def test_statuses_become_errors_by_the_decision_table_and_give_nothing_away(handler, error, says):
    with pytest.raises(error, match=says) as caught:
        await events_of(model(handler))
    told = f"{caught.value} {caught.value.__cause__}"
    assert "hidden" not in told
    assert "secret" not in told


async def test_a_rate_limit_says_when_to_come_back():
    with pytest.raises(QuotaExceeded) as caught:
        await events_of(model(refusing(429, {"message": "slow"}, {"retry-after-ms": "1500"})))
    assert caught.value.retry_after_s == 1.5


async def test_a_huge_error_page_is_judged_by_its_status():
    with pytest.raises(Unavailable, match="HTTP 502"):
        await events_of(model(lambda _: httpx.Response(502, text="<html>" + "x" * 200_000)))


async def test_what_a_server_does_not_understand_is_left_out_and_remembered():
    bodies: list[dict[str, object]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        bodies.append(body)
        if "stream_options" in body:
            return httpx.Response(422, json={"error": {"message": "extra field: stream_options"}})
        if "max_tokens" in body:
            told = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return httpx.Response(400, json={"error": {"message": told, "param": "max_tokens"}})
        if "temperature" in body:
            return httpx.Response(400, json={"error": {"message": "Unsupported value", "param": "temperature"}})
        return httpx.Response(200, headers=SSE, content=chunk("x", "stop"))

    asked = model(handler)
    await events_of(asked)
    await events_of(asked)
    assert len(bodies) == 5
    assert bodies[-1].keys() == {"model", "messages", "stream", "max_completion_tokens"}


@pytest.mark.parametrize("failure", [httpx.ConnectError("no"), httpx.ConnectTimeout("late"), httpx.ReadError("reset")])
async def test_a_server_that_cannot_be_reached_is_unavailable(failure):
    def handler(request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(Unavailable, match="cannot be reached"):
        await events_of(model(handler))


async def test_a_connection_that_breaks_in_the_answer_is_a_bad_dependency_and_is_closed():
    upstream = Upstream(chunk("x"), breaks=httpx.ReadError("reset"))
    with pytest.raises(BadDependency, match="broke off"):
        await events_of(model(lambda _: httpx.Response(200, headers=SSE, stream=upstream)))
    assert upstream.is_closed


async def test_a_whole_answer_survives_the_loss_of_its_usage():
    events = await events_of(model(streaming(chunk("x", "stop"), breaks=httpx.ReadError("reset"))))
    assert events[-2:] == [
        Usage(input_tokens=PROMPT.n_tokens, output_tokens=1, estimated=True),
        Finished(reason="stop", model="m"),
    ]
    late = await events_of(model(streaming(chunk("x", "stop"), hangs=True), idle_timeout_s=0.01))
    assert late == events


@pytest.mark.parametrize(
    ("pieces", "timers", "says"),
    [
        ([], {"first_token_timeout_s": 0.01}, "no first token"),
        ([b": OPENROUTER PROCESSING\n\n"] * 3, {"first_token_timeout_s": 0.01}, "no first token"),
        (
            [b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'],
            {"first_token_timeout_s": 0.01},
            "no first token",
        ),
        ([chunk("x")], {"idle_timeout_s": 0.01}, "fell silent"),
        ([chunk("x"), b": ping\n\n"], {"idle_timeout_s": 0.01}, "fell silent"),
        ([chunk("x")], {"total_timeout_s": 0.05}, "total timeout"),
    ],
)
async def test_each_timer_ends_a_hanging_stream_and_closes_it(pieces, timers, says):
    upstream = Upstream(*pieces, hangs=True)
    with pytest.raises(DeadlineExceeded, match=says):
        await events_of(model(lambda _: httpx.Response(200, headers=SSE, stream=upstream), **timers))
    assert upstream.is_closed


async def test_thinking_aloud_counts_as_a_first_token():
    thought = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    hanging = model(streaming(thought, hangs=True), first_token_timeout_s=9, idle_timeout_s=0.01)
    with pytest.raises(DeadlineExceeded, match="fell silent"):
        await events_of(hanging)


async def test_the_deadline_of_the_request_comes_before_the_timers():
    with pytest.raises(DeadlineExceeded, match="deadline of the request"):
        await events_of(model(streaming(hangs=True)), within_s=0.01)


async def test_a_reader_who_leaves_closes_the_stream():
    upstream = Upstream(chunk("x"), hangs=True)
    answering = model(lambda _: httpx.Response(200, headers=SSE, stream=upstream))
    async with aclosing(answering.stream(PROMPT, Deadline.after(30))) as events:
        assert await anext(events) == TextDelta(text="x")
    assert upstream.is_closed


@pytest.mark.parametrize("value", ["sk-1\n", "sk-\u00e9"])
def test_a_key_that_cannot_be_a_header_is_a_config_error_that_does_not_show_it(value):
    with pytest.raises(ConfigError, match="authorization") as caught:
        model(streaming(), api_key=Secret(value))
    assert "sk-" not in str(caught.value)


async def test_an_endless_json_body_is_refused():
    body = Upstream(*[b" " * 1_000_000] * 6)
    with pytest.raises(GroundwireError, match="over 4194304 bytes"):
        await events_of(model(lambda _: httpx.Response(200, headers={"content-type": "application/json"}, stream=body)))
    assert body.is_closed


async def test_an_endless_stream_is_left():
    upstream = Upstream(*[chunk("x" * 1_000_000)] * 68)
    with pytest.raises(BadDependency, match="over 67108864 bytes"):
        await events_of(model(lambda _: httpx.Response(200, headers=SSE, stream=upstream)))
    assert upstream.is_closed


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip", "deflate"])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_compressed_answer_is_never_unpacked(encoding, status):
    """It could be a bomb: of what is packed twice, a few hundred bytes are gigabytes."""
    upstream = Upstream(gzip.compress(gzip.compress(bytes(2**24))))
    headers = {"content-type": "application/json", "content-encoding": encoding}
    with pytest.raises((BadDependency, Unavailable)):
        await events_of(model(lambda _: httpx.Response(status, headers=headers, stream=upstream)))
    assert upstream.is_closed


async def test_an_error_names_the_model_to_the_caller_and_its_address_to_the_log_only():
    def refuse(request):
        return httpx.Response(503)

    config = OpenAIConfig(base_url="http://10.0.0.5:8000/v1", model="m")
    with pytest.raises(Unavailable) as refused:
        async for _ in RemoteModel(OpenAIWire(config), mocked(refuse)).stream(PROMPT, Deadline.after(5)):
            pass
    assert "10.0.0.5" not in str(refused.value)
    assert "model 'm'" in str(refused.value)
    assert "http://10.0.0.5:8000" in for_the_log(refused.value)
