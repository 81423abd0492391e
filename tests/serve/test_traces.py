"""GET /traces: every request leaves one, its caller may see it, and nobody else but who may see everything."""

import pytest

from rag.govern.accounts import AccountBook
from rag.govern.keys import KeyRing
from rag.telemetry.config import TracingConfig
from rag.telemetry.tracing import Tracing
from tests.serve.stage import GOVERNS, KEYS, OPERATES, OTHERS, WRITES, StageAnswerer, client_of, services


def traced(**changes):
    tracing = Tracing(TracingConfig(**changes.pop("config", {})), str, None)
    answerer = tracing.answers(changes.pop("answerer", StageAnswerer()))
    return services(keys=KeyRing(KEYS), book=AccountBook(KEYS), tracing=tracing, answerer=answerer, **changes)


async def test_a_request_is_found_by_its_id_with_its_spans():
    async with client_of(traced()) as client:
        await client.post("/ask", json={"question": "When?"}, headers={"X-Request-Id": "mine"})
        trace = (await client.get("/traces/mine")).json()
        again = (await client.get(f"/traces/{trace['trace_id']}")).json()
        (listed,) = (await client.get("/traces")).json()["traces"]
    assert trace == again
    assert [span["name"] for span in trace["spans"]][:2] == ["POST /ask", "invoke_workflow ask"]
    root = trace["spans"][0]
    assert root["attributes"]["http.route"] == "/ask"
    assert root["attributes"]["http.response.status_code"] == 200
    assert root["start_s"] == 0
    assert (listed["request_id"], listed["n_spans"]) == ("mine", len(trace["spans"]))


@pytest.mark.parametrize(
    ("headers", "n_seen"),
    [(OTHERS, 0), (WRITES, 0), (GOVERNS, 1), (OPERATES, 1)],
    ids=["other tenant", "same tenant", "its admin", "operator"],
)
async def test_nobody_else_sees_it_but_an_admin_of_the_tenant_and_an_operator(headers, n_seen):
    """Not even of the same tenant: a trace tells which documents were found, and a colleague may not see those."""
    async with client_of(traced()) as client:
        await client.post("/ask", json={"question": "When?"}, headers={"X-Request-Id": "mine"})
        assert len((await client.get("/traces", headers=headers)).json()["traces"]) == n_seen
        reply = await client.get("/traces/mine", headers=headers)
    assert reply.status_code == (200 if n_seen else 404)


async def test_a_request_of_the_same_name_does_not_hide_anothers():
    """Callers choose request and trace ids; each finds its own."""
    named = {"X-Request-Id": "same", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    async with client_of(traced()) as client:
        await client.post("/ask", json={"question": "When?"}, headers=named)
        await client.post("/ask", json={"question": "When?"}, headers=named | OTHERS)
        mine, theirs = await client.get("/traces/same"), await client.get("/traces/same", headers=OTHERS)
    assert mine.json()["spans"][0]["span_id"] != theirs.json()["spans"][0]["span_id"]
    assert mine.json()["trace_id"] == "a" * 32
    assert mine.json()["spans"][0]["parent_id"] == "b" * 16


async def test_an_admin_sees_nothing_of_other_tenants():
    async with client_of(traced(), headers=OTHERS) as client:
        await client.post("/ask", json={"question": "When?"}, headers={"X-Request-Id": "theirs"})
        assert (await client.get("/traces", headers=GOVERNS)).json()["traces"] == []
        assert (await client.get("/traces/theirs", headers=GOVERNS)).status_code == 404


async def test_who_is_not_let_in_leaves_no_trace():
    async with client_of(traced()) as client:
        asked = {"authorization": "Bearer wrong", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
        await client.post("/ask", json={"question": "When?"}, headers=asked)
        await client.get("/nowhere", headers=asked)
        assert (await client.get("/traces", headers=GOVERNS)).json()["traces"] == []
        assert (await client.get("/traces", headers=OPERATES)).json()["traces"] == []


async def test_probes_and_scrapes_leave_none():
    async with client_of(traced()) as client:
        for path in ("/livez", "/readyz", "/metrics", "/traces", "/schema/openapi.json"):
            await client.get(path)
        assert (await client.get("/traces", headers=OPERATES)).json()["traces"] == []


async def test_of_what_is_not_sampled_failures_stay():
    staged = traced(config={"sample": 0.0}, answerer=StageAnswerer((ZeroDivisionError("ours"),)))
    async with client_of(staged) as client:
        await client.post("/search", json={"query": "fine"})
        await client.post("/ask", json={"question": "When?"}, headers={"X-Request-Id": "bad"})
        traces = (await client.get("/traces")).json()["traces"]
    assert [(trace["request_id"], trace["error"]) for trace in traces] == [("bad", "Unexpected")]


async def test_the_memory_is_bounded_and_what_went_wrong_comes_first():
    staged = traced(config={"memory_traces": 3}, answerer=StageAnswerer((ZeroDivisionError("ours"),)))
    async with client_of(staged) as client:
        for number in range(5):
            await client.post("/search", json={"query": "x"}, headers={"X-Request-Id": f"r{number}"})
        await client.post("/ask", json={"question": "When?"}, headers={"X-Request-Id": "bad"})
        traces = (await client.get("/traces")).json()["traces"]
    assert [trace["request_id"] for trace in traces] == ["bad", "r2", "r1"]


async def test_with_tracing_off_there_is_nothing_to_see():
    async with client_of(services()) as client:
        await client.post("/ask", json={"question": "When?"})
        assert (await client.get("/traces")).json() == {"traces": []}
