import asyncio
from contextlib import ExitStack

import httpx
import msgspec
import pytest

from rag.govern.admission import Admission
from rag.govern.limits import Limits
from rag.serve.app import create_app
from rag.serve.door import SMALL_BODY_BYTES, Door
from tests.serve.stage import OTHERS, READS, services


def client_at(door, headers=READS):
    return httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost", headers=headers)


def staged(**bounds):
    limits = Limits(**bounds)
    return services(limits=limits, admission=Admission(limits))


def door_of(services_):
    return Door(create_app(services_, version="0"), services_)


def full(service, tenant="acme"):
    """Fills the house until left."""
    inside = ExitStack()
    for _ in range(service.limits.max_in_flight):
        inside.enter_context(service.admission.admitted(tenant))
    return inside


async def test_who_finds_no_room_is_refused_with_a_time_and_nothing_is_read():
    service = staged(max_in_flight=1)
    async with client_at(door_of(service)) as client:
        with full(service):
            refused = await client.post("/search", content=b"not even JSON", headers={"x-request-id": "mine"})
        assert (await client.post("/search", json={"query": "x"})).status_code == 200
    problem = refused.json()
    assert (refused.status_code, problem["type"], problem["instance"]) == (503, "/problems/overloaded", "mine")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"] == "mine"
    assert int(refused.headers["retry-after"]) >= 1
    assert 'rag_shed_total{reason="overloaded"} 1.0' in service.metrics.exposition().decode()


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez"), ("GET", "/schema/openapi.json"), ("POST", "/nowhere")])
async def test_probes_and_pages_need_no_room(method, path):
    service = staged(max_in_flight=1)
    async with client_at(door_of(service)) as client:
        with full(service):
            assert (await client.request(method, path)).status_code != 503


async def test_a_full_house_has_room_for_another_tenant():
    service = staged(max_in_flight=2)
    async with client_at(door_of(service)) as client:
        with full(service):
            assert (await client.post("/search", json={"query": "x"})).status_code == 503
            assert (await client.post("/search", json={"query": "x"}, headers=OTHERS)).status_code == 200


async def test_a_tenants_own_bound_is_a_quota():
    service = staged(max_in_flight_per_tenant=1)
    async with client_at(door_of(service)) as client:
        with service.admission.admitted("acme"):
            refused = await client.post("/ask", json={"question": "x"})
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/quota-exceeded")


async def test_a_question_without_room_may_look_into_the_memory_as_often_as_others_were_served():
    service = staged(max_in_flight=1)
    with service.admission.admitted("acme"):
        pass
    async with client_at(door_of(service)) as client:
        with full(service):
            looks = [(await client.post("/ask", json={"question": "x"})).status_code for _ in range(3)]
            assert (await client.post("/search", json={"query": "x"})).status_code == 503
    assert looks == [200, 503, 503], "the stage has the answer at hand"


async def test_those_without_a_key_are_told_so_and_are_one_tenant():
    service = staged(max_in_flight=1)
    async with client_at(door_of(service), headers={}) as client:
        assert (await client.post("/ask", json={"question": "x"})).status_code == 401
        with full(service, tenant=""):
            assert (await client.post("/ask", json={"question": "x"})).status_code == 503


DOCUMENTS, CHAT = ("PUT", "/documents"), ("POST", "/v1/chat/completions")


class Upload:
    """The ASGI side of one large body, that comes at once: how much of it was asked for."""

    def __init__(self, n_bytes, *, declared=True, route=DOCUMENTS, headers=READS):
        length = (b"content-length", str(n_bytes).encode()) if declared else (b"transfer-encoding", b"chunked")
        known = [(name.encode(), value.encode()) for name, value in headers.items()]
        self.scope = {"type": "http", "method": route[0], "path": route[1], "headers": [length, *known], "state": {}}
        self.body = bytes(n_bytes)
        self.n_read = 0
        self.sent = []

    async def receive(self):
        self.n_read += 1
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message):
        self.sent.append(message)


class Holder:
    """An application that reads a body and keeps it."""

    def __init__(self):
        self.lets_go = asyncio.Event()
        self.n_holding = 0

    async def __call__(self, scope, receive, send):
        await receive()
        self.n_holding += 1
        await self.lets_go.wait()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("route", [DOCUMENTS, CHAT, ("POST", "/documents/delete")])
async def test_large_bodies_stay_with_their_clients_until_they_fit(declared, route):
    app = Holder()
    size = 2 * SMALL_BODY_BYTES
    service = staged(max_held_bytes=size, max_document_bytes=size, max_gateway_body_bytes=size)
    door = Door(app, service)
    uploads = [Upload(size, declared=declared, route=route) for _ in range(3)]
    small = Upload(SMALL_BODY_BYTES, declared=declared, route=route)
    tasks = [asyncio.create_task(door(one.scope, one.receive, one.send)) for one in (*uploads, small)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert app.n_holding == 2, "one large body and the small one"
    assert not declared or [one.n_read for one in (*uploads, small)] == [1, 0, 0, 1]
    app.lets_go.set()
    await asyncio.gather(*tasks)
    assert [one.n_read for one in uploads] == [1, 1, 1]


async def test_who_has_no_key_takes_nobodys_room_and_waits_for_none():
    app = Holder()
    size = 2 * SMALL_BODY_BYTES
    door = Door(app, staged(max_held_bytes=size))
    stranger, known = Upload(size, headers={}), Upload(size)
    tasks = [asyncio.create_task(door(one.scope, one.receive, one.send)) for one in (stranger, known)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert (stranger.n_read, known.n_read) == (1, 1), "the application refuses the stranger before it reads"
    app.lets_go.set()
    await asyncio.gather(*tasks)


async def test_an_upload_that_waits_too_long_is_refused():
    app = Holder()
    size = 2 * SMALL_BODY_BYTES
    door = Door(app, staged(max_held_bytes=size, body_timeout_s=0.01))
    first, second = Upload(size), Upload(size)
    holder = asyncio.create_task(door(first.scope, first.receive, first.send))
    await asyncio.sleep(0)
    await door(second.scope, second.receive, second.send)
    assert second.sent[0]["status"] == 503
    assert msgspec.json.decode(second.sent[1]["body"])["type"] == "/problems/overloaded"
    app.lets_go.set()
    await holder
