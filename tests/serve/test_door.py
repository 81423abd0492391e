import asyncio

import httpx
import msgspec
import pytest

from rag.govern.admission import Admission
from rag.govern.limits import Limits
from rag.serve.app import create_app
from rag.serve.door import SMALL_BODY_BYTES, Door, permit_of
from tests.serve.stage import OTHERS, READS, StageAnswerer, services, until


def client_at(door, headers=READS):
    return httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost", headers=headers)


def staged(answerer, **bounds):
    limits = Limits(**bounds)
    return services(answerer=answerer, limits=limits, admission=Admission(limits))


def door_of(services_):
    return Door(create_app(services_, version="0"), services_)


async def test_who_finds_no_room_is_refused_with_a_time_and_nothing_is_read():
    answerer = StageAnswerer()
    answerer.gate.clear()
    service = staged(answerer, max_in_flight=1)
    door = door_of(service)
    async with client_at(door) as client:
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        await answerer.began.wait()
        refused = await client.post("/search", content=b"not even JSON", headers={"x-request-id": "mine"})
        answerer.gate.set()
        assert (await asking).status_code == 200
        assert (await client.post("/ask", json={"question": "x"})).status_code == 200
    problem = refused.json()
    assert (refused.status_code, problem["type"], problem["instance"]) == (503, "/problems/overloaded", "mine")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"] == "mine"
    assert int(refused.headers["retry-after"]) >= 1
    assert 'rag_shed_total{reason="overloaded"} 1.0' in service.metrics.exposition().decode()
    assert service.admission.n_in_flight == 0


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez"), ("GET", "/schema/openapi.json"), ("POST", "/nowhere")])
async def test_probes_and_pages_need_no_room(method, path):
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with client_at(door_of(staged(answerer, max_in_flight=1))) as client:
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        await answerer.began.wait()
        assert (await client.request(method, path)).status_code != 503
        answerer.gate.set()
        await asking


async def test_a_full_house_has_room_for_another_tenant():
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with client_at(door_of(staged(answerer, max_in_flight=2))) as client:
        asking = [asyncio.create_task(client.post("/ask", json={"question": "x"})) for _ in range(2)]
        await until(lambda: len(answerer.queries) == 2)
        assert (await client.post("/search", json={"query": "x"})).status_code == 503
        assert (await client.post("/search", json={"query": "x"}, headers=OTHERS)).status_code == 200
        answerer.gate.set()
        await asyncio.gather(*asking)


async def test_a_tenants_own_bound_is_a_quota():
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with client_at(door_of(staged(answerer, max_in_flight_per_tenant=1))) as client:
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        await answerer.began.wait()
        refused = await client.post("/ask", json={"question": "x"})
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/quota-exceeded")
        answerer.gate.set()
        await asking


@pytest.mark.parametrize("path", ["/ask", "/search"])
@pytest.mark.parametrize("body", [{"question": "x", "stream": True}, {"question": "x"}, {}, None])
@pytest.mark.parametrize("headers", [READS, {}])
async def test_whatever_becomes_of_a_request_its_place_is_free_again(path, body, headers):
    service = staged(StageAnswerer([RuntimeError("broken")]))
    async with client_at(door_of(service), headers) as client:
        await client.post(path, json=body)
    assert service.admission.n_in_flight == 0


async def test_the_application_has_the_permit():
    seen = []

    async def app(scope, receive, send):
        seen.append(permit_of(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    service = staged(StageAnswerer())
    async with client_at(Door(app, service)) as client:
        await client.post("/ask", json={})
        await client.get("/documents")
    assert seen[0].tenant == "acme"
    assert seen[1] is None


class Upload:
    """The ASGI side of one large PUT: how much of it was asked for."""

    def __init__(self, n_bytes, *, declared=True):
        headers = [(b"content-length", str(n_bytes).encode())] if declared else []
        self.scope = {"type": "http", "method": "PUT", "path": "/documents", "headers": headers, "state": {}}
        self.n_read = 0
        self.sent = []

    async def receive(self):
        self.n_read += 1
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message):
        self.sent.append(message)


class Holder:
    """An application that reads a body and keeps it."""

    def __init__(self):
        self.lets_go = asyncio.Event()

    async def __call__(self, scope, receive, send):
        await receive()
        await self.lets_go.wait()


@pytest.mark.parametrize("declared", [True, False])
async def test_large_bodies_stay_with_their_clients_until_they_fit(declared):
    app = Holder()
    size = 2 * SMALL_BODY_BYTES
    service = staged(StageAnswerer(), max_held_bytes=size, max_document_bytes=size)
    door = Door(app, service)
    uploads = [Upload(size, declared=declared) for _ in range(3)]
    small = Upload(SMALL_BODY_BYTES)
    tasks = [asyncio.create_task(door(one.scope, one.receive, one.send)) for one in (*uploads, small)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert [one.n_read for one in (*uploads, small)] == [1, 0, 0, 1]
    app.lets_go.set()
    await asyncio.gather(*tasks)
    assert [one.n_read for one in uploads] == [1, 1, 1]


async def test_an_upload_that_waits_too_long_is_refused():
    app = Holder()
    size = 2 * SMALL_BODY_BYTES
    door = Door(app, staged(StageAnswerer(), max_held_bytes=size, body_timeout_s=0.01))
    first, second = Upload(size), Upload(size)
    holder = asyncio.create_task(door(first.scope, first.receive, first.send))
    await asyncio.sleep(0)
    await door(second.scope, second.receive, second.send)
    assert second.sent[0]["status"] == 503
    assert msgspec.json.decode(second.sent[1]["body"])["type"] == "/problems/overloaded"
    app.lets_go.set()
    await holder
