import re
from html.parser import HTMLParser

import pytest

from rag.govern import limits
from rag.govern.keys import KeyRing
from tests.serve.stage import client_of, services


@pytest.fixture
async def schema():
    async with client_of(services(), {}) as client:
        return (await client.get("/schema/openapi.json")).json()


def operations(schema):
    return {(m, p): op for p, item in schema["paths"].items() for m, op in item.items()}


async def test_every_operation_says_what_it_does_and_how_it_fails(schema):
    assert schema["openapi"].startswith("3.1")
    for (_, path), operation in operations(schema).items():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        refused = {code: r for code, r in operation["responses"].items() if int(code) >= 400}
        media = "application/json" if "models" in operation["tags"] else "application/problem+json"
        assert all(list(response["content"]) == [media] for response in refused.values())
        if path not in {"/livez", "/readyz"}:
            assert {"401", "403"} <= refused.keys()


async def test_the_bounds_are_published(schema):
    ask = schema["components"]["schemas"]["AskBody"]
    assert ask["properties"]["question"]["maxLength"] == limits.MAX_QUESTION_CHARS
    assert ask["properties"]["top_k"]["maximum"] == limits.MAX_TOP_K
    assert ask["required"] == ["question"]
    assert {"type": "null"} in ask["properties"]["temperature"]["anyOf"]
    assert {"type": "number", "minimum": 0, "maximum": 2} in ask["properties"]["temperature"]["anyOf"]


async def test_unknown_members_of_a_body_are_refused_in_writing(schema):
    bodies = [schema["components"]["schemas"][name] for name in ("AskBody", "SearchBody", "DocumentBody", "TurnBody")]
    assert all(body["additionalProperties"] is False for body in bodies)


async def test_a_stream_is_one_of_the_forms_of_an_answer(schema):
    content = schema["paths"]["/ask"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}


async def test_keys_are_described_where_they_are_asked_for(schema):
    assert {"bearer": []} in schema["security"]
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    async with client_of(services(keys=KeyRing()), {"host": "localhost"}) as client:
        assert "security" not in (await client.get("/schema/openapi.json")).json()


class Outward(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in {"src", "href"}]
        if tag in {"script", "iframe", "img", "link"}:
            self.found.append(tag)


async def test_the_page_shows_every_operation_and_loads_nothing(schema):
    async with client_of(services(), {}) as client:
        response = await client.get("/schema")
    assert response.headers["content-type"].startswith("text/html")
    for (method, path), operation in operations(schema).items():
        assert re.search(
            rf"{method.upper()}</b> <code>{re.escape(path)}</code> {operation['summary'][:8]}", response.text
        )
    outward = Outward()
    outward.feed(response.text)
    assert outward.found
    assert all(value.startswith(("#", "/schema")) for value in outward.found)
