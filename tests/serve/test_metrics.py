"""GET /metrics: who may see it, and that every response is counted under its route."""

from rag.govern.keys import KeyRing, new_key
from tests.serve.stage import READER, READS, client_of, services

SCRAPER_TOKEN, SCRAPER = new_key("prometheus", scopes=["metrics"])
SCRAPES = {"authorization": f"Bearer {SCRAPER_TOKEN}"}


async def test_responses_are_counted_by_route_and_not_by_path():
    async with client_of(services(keys=KeyRing([READER, SCRAPER]))) as client:
        await client.post("/ask", json={"question": "x"})
        await client.post("/ask", json={"question": 5})
        await client.get("/nowhere/at/all")
        reply = await client.get("/metrics", headers=SCRAPES)
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'rag_http_requests_total{method="POST",route="/ask",status="200"} 1.0' in reply.text
    assert 'rag_http_requests_total{method="POST",route="/ask",status="422"} 1.0' in reply.text
    assert 'rag_http_requests_total{method="GET",route="other",status="404"} 1.0' in reply.text
    assert "nowhere" not in reply.text


async def test_a_reader_does_not_see_the_numbers_and_a_scraper_sees_nothing_else():
    async with client_of(services(keys=KeyRing([READER, SCRAPER]))) as client:
        assert (await client.get("/metrics", headers=READS)).status_code == 403
        assert (await client.post("/ask", json={"question": "x"}, headers=SCRAPES)).status_code == 403


async def test_any_number_of_paths_makes_one_series():
    async with client_of(services(keys=KeyRing([READER, SCRAPER]))) as client:
        for number in range(100):
            await client.get(f"/documents-{number}")
        reply = await client.get("/metrics", headers=SCRAPES)
    series = [line for line in reply.text.splitlines() if line.startswith("rag_http_requests_total")]
    assert len(series) == 1


async def test_any_number_of_methods_makes_one_series():
    async with client_of(services(keys=KeyRing([READER, SCRAPER])), headers={}) as client:
        for number in range(100):
            await client.request(f"METHOD{number}", "/feedback")
        reply = await client.get("/metrics", headers=SCRAPES)
    series = [line for line in reply.text.splitlines() if line.startswith("rag_http_requests_total")]
    assert series == ['rag_http_requests_total{method="other",route="other",status="405"} 100.0']


async def test_without_keys_this_machine_sees_the_numbers():
    async with client_of(services(keys=KeyRing()), headers={"host": "localhost"}) as client:
        reply = await client.get("/metrics")
    assert reply.status_code == 200
    assert "rag_ready" in reply.text
