import asyncio
import json

import pytest
from msgspec.structs import replace

from llm.failures import Failure, as_error
from rag.base.answers import Answered, SourcesFound
from rag.base.errors import (
    BadDependency,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    Overloaded,
    QuotaExceeded,
    TooLarge,
    Unavailable,
)
from rag.base.types import Finished, TextDelta
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.limits import Limits
from tests.serve.gateway.playing import CALLING, playing
from tests.serve.gateway.test_tasks import TITLE
from tests.serve.stage import ANSWER, EVENTS, READER, READS, SOURCE, StageAnswerer, client_of, until

PATH = "/v1/chat/completions"


def asking(model="big", text="Hi", **members):
    return {"model": model, "messages": [{"role": "user", "content": text}]} | members


def chunks_in(text):
    """The data of each chunk, and whether the stream said that it was done."""
    lines = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"], "[DONE]" in lines


async def test_a_completion_holds_text_calls_thoughts_and_counts():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking())
    body = response.json()
    [choice] = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me look.",
        "refusal": None,
        "annotations": [],
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}],
    }
    assert body["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert body["groundwire"] == {"dropped": ["seed"]}
    assert (body["object"], body["model"]) == ("chat.completion", "big")
    assert body["id"] == f"chatcmpl-{response.headers['x-request-id']}"


async def test_chunks_say_the_same_piece_by_piece():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking(stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks, is_done = chunks_in(response.text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "Let me look."},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "look"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 6 + ["tool_calls"]
    assert chunks[-2]["groundwire"] == {"dropped": ["seed"]}
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 14)
    assert is_done
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1


async def test_usage_is_streamed_to_those_who_ask_for_it_only():
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        chunks, _ = chunks_in((await client.post(PATH, json=asking(stream=True))).text)
    assert all("usage" not in chunk for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidInput("no", pointer="/messages/0/content"), 400, "invalid_request_error", None),
        (QuotaExceeded("no", retry_after_s=7), 429, "rate_limit_error", "rate_limit_exceeded"),
        (Overloaded("no", retry_after_s=7), 503, "server_error", "server_is_overloaded"),
        (Unavailable("no"), 503, "server_error", "upstream_unavailable"),
        (BadDependency("no"), 502, "server_error", "upstream_error"),
        (DeadlineExceeded("no"), 504, "server_error", "upstream_timeout"),
        (Forbidden("no"), 403, "permission_error", "forbidden"),
        (TooLarge("no"), 413, "invalid_request_error", "request_too_large"),
        (ValueError("secret"), 500, "server_error", None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_has_its_status_and_openai_s_shape(error, status, kind, code, stream):
    _, staged = playing(error)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking(stream=stream))
    told = response.json()["error"]
    assert (response.status_code, told["type"], told["code"]) == (status, kind, code)
    assert told["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    assert response.headers.get("retry-after") == ("7" if getattr(error, "retry_after_s", None) else None)
    assert told["param"] == ("messages.0.content" if isinstance(error, InvalidInput) else None)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("context_length", 400, "context_length_exceeded"),
        ("content_policy", 400, "content_filter"),
        ("model_missing", 404, "model_not_found"),
        ("rejected", 400, "invalid_request"),
        ("credentials", 503, "upstream_unavailable"),
        ("overload", 503, "upstream_unavailable"),
        ("rate_limit", 429, "rate_limit_exceeded"),
    ],
)
async def test_a_provider_s_refusal_of_the_request_is_the_caller_s_to_mend(kind, status, code):
    _, staged = playing(as_error(Failure(kind=kind, status=400), "model 'm'"))
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking())
        as_message = await client.post("/v1/messages", json=asking(max_tokens=5))
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert as_message.status_code == status


async def test_a_failure_in_mid_stream_is_an_error_event_and_never_a_clean_end():
    _, staged = playing(TextDelta(text="a"), BadDependency("broke off"))
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking(stream=True))
    chunks, is_done = chunks_in(response.text)
    assert response.status_code == 200
    assert chunks[1]["choices"][0]["delta"] == {"content": "a"}
    assert chunks[-1]["error"]["code"] == "upstream_error"
    assert not is_done
    assert all(not choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", ()))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_stops_without_an_end_is_a_failure(stream):
    _, staged = playing(TextDelta(text="a"))
    async with client_of(staged) as client:
        text = (await client.post(PATH, json=asking(stream=stream))).text
    assert "cut off" in text
    assert "[DONE]" not in text


@pytest.mark.parametrize("name", ["nope", "rag/nope", "extractive", ""])
async def test_a_model_that_is_not_there_is_not_found(name):
    _, staged = playing(*CALLING)
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking(name))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_documents_answer_under_a_name_of_their_own():
    answerer = StageAnswerer()
    _, staged = playing(answerer=answerer)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is refunded?"},
        {"role": "assistant", "content": "Shoes. [1]"},
        {"role": "user", "content": "How fast?"},
    ]
    async with client_of(staged) as client:
        body = (await client.post(PATH, json=asking("rag/default", messages=messages, max_tokens=99_999))).json()
    [(query, streams)] = answerer.queries
    assert not streams, "so that a model that fails half-way can be replaced"
    assert (query.text, [turn.content for turn in query.history]) == ("How fast?", ["What is refunded?", "Shoes. [1]"])
    assert (query.model, query.max_tokens, query.principal.subject) == (None, 8_192, "ann")
    [choice] = body["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("14 days. [1]", "stop")
    citation = {"start_index": 9, "end_index": 12, "title": "Refunds", "url": "file:refunds.md"}
    assert choice["message"]["annotations"] == [{"type": "url_citation", "url_citation": citation}]
    assert body["groundwire"] == {"dropped": ["system"]}


@pytest.mark.parametrize("path", [PATH, "/v1/messages", "/v1/responses"])
async def test_a_stage_that_did_less_is_named(path):
    less = Answered(answer=replace(ANSWER, degraded=("rerank",)))
    _, staged = playing(answerer=StageAnswerer((*EVENTS[:-1], less)))
    body = asking("rag/default", max_tokens=9) if path != "/v1/responses" else {"model": "rag/default", "input": "Hi"}
    async with client_of(staged) as client:
        whole = (await client.post(path, json=body)).json()
        streamed = (await client.post(path, json=body | {"stream": True})).text
    assert whole["groundwire"] == {"degraded": ["rerank"]}
    assert '"groundwire":{"degraded":["rerank"]}' in streamed


async def test_the_documents_stream_with_their_citations_at_the_end():
    _, staged = playing(answerer=StageAnswerer())
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking("rag/big", stream=True))
    chunks, is_done = chunks_in(response.text)
    assert is_done
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == ANSWER.text
    assert chunks[-1]["choices"][0]["delta"]["annotations"][0]["url_citation"]["title"] == "Refunds"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_what_the_documents_cannot_do_is_refused():
    tool = {"type": "function", "function": {"name": "look"}}
    _, staged = playing(answerer=StageAnswerer())
    async with client_of(staged) as client:
        for members, param in (
            ({"tools": [tool]}, "tools"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
            ({"messages": [{"role": "user", "content": "x" * 8_001}]}, "messages.0.content"),
        ):
            response = await client.post(PATH, json=asking("rag/default") | members)
            assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("name", ["rag/default", "rag/big"])
async def test_a_title_is_made_by_the_model_and_not_searched_for(name):
    answerer = StageAnswerer()
    model, staged = playing(TextDelta(text="Refunds"), Finished(reason="stop", model="m"), answerer=answerer)
    async with client_of(staged) as client:
        body = (await client.post(PATH, json=asking(name, TITLE))).json()
    assert body["choices"][0]["message"]["content"] == "Refunds"
    assert (len(answerer.queries), len(model.prompts)) == (0, 1)


async def test_a_client_that_leaves_ends_the_model_s_work():
    model, staged = playing(TextDelta(text="a"), TextDelta(text="b"))
    model.gate.clear()
    async with client_of(staged) as client:
        app = client.app
        for stream in (True, False):
            model.closed.clear()
            await left_early(app, asking(stream=stream), model)
            assert model.closed.is_set()


async def left_early(app, body, model):
    """Sends the body, waits until the model works, and goes away."""
    n_before = len(model.prompts)
    pieces = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive():
        if pieces:
            return pieces.pop()
        await until(lambda: len(model.prompts) > n_before)
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    headers = [(name.encode(), value.encode()) for name, value in READS.items()]
    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("test", 80),
        "client": ("test", 1), "root_path": "", "state": {}, "asgi": {"version": "3.0"},
    }  # fmt: skip
    async with asyncio.timeout(10):
        await app(scope, receive, send)


async def test_bodies_are_bounded_and_must_be_json():
    _, staged = playing(*CALLING, limits=Limits(max_gateway_body_bytes=1000))
    async with client_of(staged) as client:
        large = await client.post(PATH, json=asking(text="x" * 1000))
        broken = await client.post(PATH, content=b'{"model": ')
        wrong = await client.get(PATH)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_a_key_is_needed_and_asked_for_in_openai_s_shape():
    _, staged = playing(*CALLING)
    async with client_of(staged, headers={}) as client:
        refused = await client.post(PATH, json=asking())
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        key = READS["authorization"].removeprefix("Bearer ")
        assert (await client.post(PATH, json=asking(), headers={"x-api-key": key})).status_code == 200


async def test_the_models_are_listed_for_both_kinds_of_clients():
    _, staged = playing()
    async with client_of(staged) as client:
        listing = (await client.get("/v1/models")).json()
        one = await client.get("/v1/models/rag/default")
        none = await client.get("/v1/models/nope")
    names = [model["id"] for model in listing["data"]]
    assert names == ["big", "rag/default", "rag/extractive", "rag/big", "hashing@1", "reversing@1"]
    assert (listing["object"], listing["has_more"], listing["last_id"]) == ("list", False, "reversing@1")
    assert one.json() == next(model for model in listing["data"] if model["id"] == "rag/default")
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_key_sees_the_models_that_it_may_ask():
    key = replace(READER, allowance=Allowance(models=("small*",)))
    _, staged = playing(book=AccountBook([key]))
    async with client_of(staged) as client:
        names = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
        assert (await client.get("/v1/models/big")).status_code == 404
    assert names == ["rag/extractive", "hashing@1", "reversing@1"]


async def test_an_answer_that_breaks_off_before_its_first_word_still_has_a_status():
    _, staged = playing(answerer=StageAnswerer((SourcesFound(sources=(SOURCE,)), Unavailable("gone"))))
    async with client_of(staged) as client:
        response = await client.post(PATH, json=asking("rag/default", stream=True))
    assert response.status_code == 503
    assert EVENTS
