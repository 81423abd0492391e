import re

import pytest

from rag.govern.keys import KeyRing, new_key
from tests.serve.stage import READER_TOKEN, READS, WRITER, client_of, services

QUESTION = {"question": "x"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {READER_TOKEN}"},
        {"authorization": f"bearer  {READER_TOKEN}"},
        {"x-api-key": READER_TOKEN},
    ],
)
async def test_a_key_opens_the_door(headers):
    staged = services()
    async with client_of(staged, headers) as client:
        assert (await client.post("/ask", json=QUESTION)).status_code == 200
    assert staged.answerer.queries[0][0].principal.subject == "ann"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {READER_TOKEN}"},
        {"authorization": READER_TOKEN},
        {"authorization": "Bearer wrong", "x-api-key": READER_TOKEN},
        {"x-api-key": "gw_ünknown".encode()},
    ],
)
async def test_nothing_else_does(headers):
    staged = services()
    async with client_of(staged, headers) as client:
        response = await client.post("/ask", json=QUESTION)
    assert response.status_code == 401
    assert response.json()["type"] == "/problems/unauthenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert staged.answerer.queries == []


async def test_strangers_learn_nothing_of_what_is_wrong_with_their_body():
    async with client_of(services(), {}) as client:
        response = await client.post("/ask", content=b"{" * 100_000, headers={"content-type": "text/plain"})
    assert response.status_code == 401


async def test_a_key_must_hold_the_scope():
    token, key = new_key("writer", scopes=["write"])
    async with client_of(services(keys=KeyRing([key])), {"x-api-key": token}) as client:
        response = await client.post("/ask", json=QUESTION)
    assert (response.status_code, response.json()["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize("path", ["/livez", "/schema", "/schema/openapi.json"])
async def test_what_is_public_needs_no_key(path):
    async with client_of(services(), {}) as client:
        assert (await client.get(path)).status_code == 200


async def test_every_route_but_the_public_ones_asks_for_a_key():
    async with client_of(services(), {}) as client:
        schema = (await client.get("/schema/openapi.json")).json()
        for path, item in schema["paths"].items():
            for method in item:
                response = await client.request(method, re.sub(r"{\w+}", "some-id", path))
                is_public = path in {"/livez", "/readyz"}
                assert (response.status_code == 401) != is_public, (method, path)


async def test_without_keys_the_local_principal_comes_in():
    staged = services(keys=KeyRing())
    async with client_of(staged, {"host": "127.0.0.1:8080"}) as client:
        assert (await client.post("/ask", json=QUESTION)).status_code == 200
    assert staged.answerer.queries[0][0].principal.subject == "local"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("[::1]", 200),
        ("evil.example:8080", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.7", 403),
    ],
)
async def test_without_keys_a_page_of_another_host_is_kept_out(host, status):
    """DNS rebinding: the browser of the machine's owner sends the request, for a page that is not theirs."""
    async with client_of(services(keys=KeyRing()), {"host": host}) as client:
        assert (await client.post("/ask", json=QUESTION)).status_code == status


@pytest.mark.parametrize("path", ["/ask", "/search", "/v1/chat/completions", "/documents/delete"])
@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8080", True),
        ("https://evil.example", False),
        ("https://localhost.evil.example", False),
        ("http://[", False),
        ("null", False),
        ("", False),
    ],
)
async def test_without_keys_a_page_of_another_host_sends_nothing(path, origin, is_let_in):
    """Cross-site requests: a browser sends a POST without a content type for any page, and asks nobody before."""
    staged = services(keys=KeyRing())
    async with client_of(staged, {"host": "localhost:8080", "origin": origin}) as client:
        response = await client.request("POST", path, content=b"{}")
    assert (response.status_code != 403) == is_let_in


async def test_with_keys_any_page_may_ask_that_knows_one():
    async with client_of(services(), READS | {"origin": "https://intranet.example"}) as client:
        assert (await client.post("/ask", json=QUESTION)).status_code == 200


async def test_with_keys_any_host_may_be_named():
    async with client_of(services(keys=KeyRing([WRITER])), READS | {"host": "rag.example"}) as client:
        assert (await client.post("/ask", json=QUESTION)).status_code == 401
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("given", ["abc", "A-1_b.c", "x" * 128])
async def test_a_sane_request_id_is_kept(given):
    async with client_of(services()) as client:
        response = await client.post("/ask", json=QUESTION, headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    assert response.json()["id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "<script>", "-a", "ü".encode()])
async def test_another_one_is_replaced(given):
    async with client_of(services()) as client:
        ids = {(await client.get("/livez", headers={"x-request-id": given})).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("PUT", "/ask"), ("GET", "/schema/x")])
async def test_every_response_carries_the_request_id(method, path):
    async with client_of(services()) as client:
        response = await client.request(method, path, headers={"x-request-id": "r7"})
    assert response.headers["x-request-id"] == "r7"
