from datetime import UTC, datetime

from rag.base.errors import Overloaded
from rag.base.types import Range
from tests.serve.stage import CANDIDATE, StageSearcher, client_of, found_of, services


async def test_a_search_gives_passages_with_every_score():
    async with client_of(services()) as client:
        response = await client.post("/search", json={"query": "refunds"})
    found = response.json()
    assert response.status_code == 200
    assert found["results"][0]["text"] == "Refunds take 14 days."
    assert found["results"][0]["score"] == 0.9
    assert {leg["origin"]: leg["rank"] for leg in found["results"][0]["legs"]} == {"dense": 1, "bm25": 2}
    assert found["stages_s"] == {"embed": 0.001}


async def test_the_search_reaches_the_recipe_whole():
    staged = services()
    body = {"query": "q", "top_k": 3, "rerank": False, "filters": {"updated_at": {"gte": "2026-01-01"}}}
    async with client_of(staged) as client:
        await client.post("/search", json=body)
    query, rerank = staged.searcher.queries[0]
    assert (query.text, query.top_k, rerank) == ("q", 3, False)
    assert query.filters == (Range(field="updated_at", gte=datetime(2026, 1, 1, tzinfo=UTC)),)


async def test_what_was_skipped_is_said():
    searcher = StageSearcher(found_of(CANDIDATE, degraded=("rerank",), stages_s={}))
    async with client_of(services(searcher=searcher)) as client:
        assert (await client.post("/search", json={"query": "q"})).json()["degraded"] == ["rerank"]


async def test_an_overloaded_search_says_when_to_come_back():
    searcher = StageSearcher(Overloaded("the queue is full", retry_after_s=3))
    async with client_of(services(searcher=searcher)) as client:
        response = await client.post("/search", json={"query": "q"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
