"""The short way to a route and the framework's, which a slash at the end of the path takes, are the same to clients."""

import pytest

from rag.base.errors import BadDependency, Overloaded
from rag.serve.app import create_app
from tests.serve.stage import READS, WATCHES, StageAnswerer, client_of, services

QUESTION = {"question": "Why?"}
CHAT = {"model": "big", "messages": [{"role": "user", "content": "Why?"}]}
BUSY = Overloaded("too many questions", retry_after_s=3.0)


async def test_plain_routes_are_reached_without_the_framework():
    app = create_app(services(), version="0")
    assert {"/ask", "/search", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/rerank"} <= {*app.direct}
    assert "/documents" not in app.direct


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/ask", QUESTION, READS, 200),
        ("POST", "/ask", {"question": 1}, READS, 422),
        ("POST", "/ask", QUESTION, WATCHES, 403),
        ("POST", "/ask", QUESTION, {"authorization": "Bearer gw_none_x"}, 401),
        ("GET", "/ask", None, READS, 405),
        ("POST", "/v1/chat/completions", CHAT, READS, 200),
        ("POST", "/v1/chat/completions", CHAT | {"model": "none"}, READS, 404),
        ("POST", "/v1/chat/completions", {}, READS, 400),
        ("POST", "/v1/chat/completions", CHAT, {"authorization": "Bearer gw_none_x"}, 401),
        ("GET", "/v1/messages", None, READS, 405),
    ],
)
async def test_both_ways_answer_alike(method, path, body, headers, status):
    async with client_of(services(), headers=headers) as client:
        short, long = [await client.request(method, path + end, json=body) for end in ("", "/")]
    assert short.status_code == long.status_code == status
    assert {*short.headers} == {*long.headers}
    assert {*short.json()} == {*long.json()}
    assert short.headers["x-request-id"] != long.headers["x-request-id"]


@pytest.mark.parametrize(("error", "status"), [(BUSY, 503), (BadDependency("broken"), 502), (ValueError("a"), 500)])
async def test_failures_of_the_work_are_answered_alike(error, status, caplog):
    for end in ("", "/"):
        async with client_of(services(answerer=StageAnswerer((error,)))) as client:
            response = await client.post("/ask" + end, json=QUESTION)
        assert response.status_code == response.json()["status"] == status
        assert response.headers.get("retry-after") == ("3" if error is BUSY else None)


async def test_both_ways_are_counted_under_the_route():
    stage = services()
    async with client_of(stage) as client:
        for end in ("", "/"):
            await client.post("/ask" + end, json=QUESTION)
    assert 'method="POST",route="/ask",status="200"} 2.0' in stage.metrics.exposition().decode()
