"""The answer cache over HTTP."""

import pytest

from cache.replies import ReplyReport
from cache.risk import Estimate
from cache.tally import CacheReport
from rag.pipeline.cache_desk import Explanation, Near
from tests.serve.stage import READS, WATCHES, WRITES, client_of, services

REPORT = CacheReport(
    entries=3,
    bytes=4_000,
    max_bytes=10_000,
    lookups=10,
    hits={"exact": 2, "semantic": 1},
    hit_rate=0.3,
    rejected_by={"numbers": 2},
    saved_s=1.5,
    saved_usd=0.25,
    estimates={"strict": Estimate(n=5, n_wrong=0, upper=0.45), "loose": Estimate(n=0, n_wrong=0, upper=1.0)},
    loose_floor=None,
    replies=ReplyReport(entries=4, hits=9),
)
NEAR = Near(question="How long?", similarity=0.9, age_s=3.0, rejected_by="numbers")


class StageDesk:
    def __init__(self):
        self.cleared = []
        self.asked = []

    def report(self):
        return REPORT

    def clear(self, tenant):
        self.cleared.append(tenant)
        return 7

    async def explain(self, query, deadline):
        self.asked.append(query)
        return Explanation(exact=None, nearest=(NEAR,))


async def test_who_watches_sees_the_report_and_who_writes_forgets_the_tenants_answers():
    desk = StageDesk()
    async with client_of(services(cache=desk), WATCHES) as client:
        report = (await client.get("/cache")).json()
        assert (report["hits"], report["hit_rate"]) == ({"exact": 2, "semantic": 1}, 0.3)
        assert (report["replies"]["entries"], report["replies"]["hits"]) == (4, 9)
        assert report["estimates"]["strict"] == {"n": 5, "n_wrong": 0, "upper": 0.45}
        assert (await client.delete("/cache", headers=WRITES)).json() == {"n_forgotten": 7}
    assert desk.cleared == ["acme"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_readers_do_not(method):
    async with client_of(services(cache=StageDesk()), READS) as client:
        assert (await client.request(method, "/cache")).status_code == 403


async def test_anyone_may_ask_what_would_be_served_to_them():
    desk = StageDesk()
    async with client_of(services(cache=desk), READS) as client:
        reply = await client.post("/cache/explain", json={"question": "How long?", "filters": {"year": 2026}})
    assert reply.json() == {
        "exact": None,
        "nearest": [{"question": "How long?", "similarity": 0.9, "age_s": 3.0, "rejected_by": "numbers"}],
    }
    assert (desk.asked[0].principal.subject, len(desk.asked[0].filters)) == ("ann", 1)


async def test_without_a_cache_there_is_nothing_to_tell():
    async with client_of(services(cache=None), READS) as client:
        reply = await client.post("/cache/explain", json={"question": "How long?"})
    assert (reply.status_code, reply.json()["type"].rpartition("/")[2]) == (404, "not-found")
