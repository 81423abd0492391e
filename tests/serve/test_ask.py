import msgspec
import pytest

from rag.base.errors import BadDependency, DeadlineExceeded, Overloaded, Unavailable
from rag.base.types import Match, TextDelta, Turn
from tests.serve.stage import ANSWER, EVENTS, StageAnswerer, client_of, events_in, services


async def test_a_question_gets_a_cited_answer():
    async with client_of(services()) as client:
        response = await client.post("/ask", json={"question": "How long do refunds take?"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["answer"] == "14 days. [1]"
    assert answer["citations"][0]["quote"] == "Refunds take 14 days."
    assert answer["sources"][0]["uri"] == "file:refunds.md"
    assert answer["lineage"]["template"] == "answer.v1"
    assert answer["id"] == response.headers["x-request-id"]
    assert "candidates" not in answer


async def test_the_question_reaches_the_recipe_whole():
    staged = services()
    body = {
        "question": "And for staff?",
        "top_k": 7,
        "filters": {"team": ["support", "sales"]},
        "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        "model": "big",
        "max_tokens": 99,
        "temperature": 0.5,
    }
    async with client_of(staged) as client:
        assert (await client.post("/ask", json=body)).status_code == 200
    query, stream = staged.answerer.queries[0]
    assert not stream
    assert (query.text, query.top_k, query.model) == ("And for staff?", 7, "big")
    assert (query.max_tokens, query.temperature) == (99, 0.5)
    assert query.filters == (Match(field="team", any_of=("support", "sales")),)
    assert query.history == (Turn(role="user", content="Hi"), Turn(role="assistant", content="Hello"))
    assert (query.principal.subject, query.principal.tenant) == ("ann", "acme")


async def test_explain_shows_how_every_passage_was_scored():
    async with client_of(services()) as client:
        answer = (await client.post("/ask", json={"question": "x", "explain": True})).json()
    assert [leg["origin"] for leg in answer["candidates"][0]["legs"]] == ["dense", "bm25"]


@pytest.mark.parametrize(
    ("body", "accept", "streams"),
    [
        ({}, "*/*", False),
        ({}, "application/json", False),
        ({}, "text/event-stream", True),
        ({}, "application/json;q=0.5, text/event-stream", True),
        ({"stream": True}, "*/*", True),
        ({"stream": True}, "application/json", True),
        ({"stream": False}, "text/event-stream", False),
    ],
)
async def test_who_wants_a_stream_gets_one(body, accept, streams):
    async with client_of(services()) as client:
        response = await client.post("/ask", json={"question": "x"} | body, headers={"accept": accept})
    expected = "text/event-stream" if streams else "application/json"
    assert response.headers["content-type"].startswith(expected)


async def test_a_stream_tells_the_answer_as_it_is_written():
    async with client_of(services()) as client:
        response = await client.post("/ask", json={"question": "x", "stream": True})
        whole = (await client.post("/ask", json={"question": "x"})).json()
    events = [(name, msgspec.json.decode(data)) for name, data in events_in(response.text)]
    assert [name for name, _ in events] == ["sources", "token", "token", "citation", "usage", "done"]
    assert "".join(data["text"] for name, data in events if name == "token") == ANSWER.text
    assert events[-1][1] | {"id": whole["id"]} == whole
    assert response.headers["cache-control"] == "no-store"


async def test_text_with_line_breaks_stays_one_event():
    answerer = StageAnswerer((EVENTS[0], TextDelta(text="one\n\ndata: two\r\n"), *EVENTS[1:]))
    async with client_of(services(answerer=answerer)) as client:
        response = await client.post("/ask", json={"question": "x", "stream": True})
    assert msgspec.json.decode(events_in(response.text)[1][1]) == {"text": "one\n\ndata: two\r\n"}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Overloaded("the queue is full", retry_after_s=1.2), 503),
        (Unavailable("the store is away"), 503),
        (DeadlineExceeded("too slow"), 504),
        (ValueError("a secret cause"), 500),
    ],
)
async def test_a_failure_before_the_first_event_has_its_own_status(error, status, stream):
    async with client_of(services(answerer=StageAnswerer((error,)))) as client:
        response = await client.post("/ask", json={"question": "x", "stream": stream})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert response.headers.get("retry-after") == ("2" if isinstance(error, Overloaded) else None)


async def test_a_failure_after_the_first_event_is_an_event():
    answerer = StageAnswerer((*EVENTS[:2], BadDependency("the model went away")))
    async with client_of(services(answerer=answerer)) as client:
        response = await client.post("/ask", json={"question": "x", "stream": True})
    events = events_in(response.text)
    assert [name for name, _ in events] == ["sources", "token", "error"]
    problem = msgspec.json.decode(events[-1][1])
    assert (problem["type"], problem["status"]) == ("/problems/bad-dependency", 502)
    assert problem["instance"] == response.headers["x-request-id"]


async def test_an_answer_without_an_end_is_no_answer():
    async with client_of(services(answerer=StageAnswerer(EVENTS[:3]))) as client:
        assert (await client.post("/ask", json={"question": "x"})).status_code == 502


async def test_an_unknown_model_is_refused_by_name():
    async with client_of(services()) as client:
        problem = (await client.post("/ask", json={"question": "x", "model": "gone"})).json()
    assert problem["errors"][0]["pointer"] == "/model"
    assert problem["detail"] == "there is no model 'gone' here; GET /v1/models lists what there is"
