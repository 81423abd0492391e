"""Requests a minute, at the door."""

import msgspec

from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.keys import KeyRing
from rag.govern.meters import Meters
from rag.govern.schedules import LocalSchedules
from tests.clocks import HandClock
from tests.serve.stage import OTHER, OTHERS, READER, client_of, services

QUESTION = {"question": "x"}


def metered(**allowance):
    key = msgspec.structs.replace(READER, account="acme", allowance=Allowance(requests_per_minute=2))
    keys, clock = (key, OTHER), HandClock()
    book = AccountBook(keys, {"acme": Allowance(**allowance)})
    return services(keys=KeyRing(keys), book=book, meters=Meters(LocalSchedules(clock))), clock


async def test_a_key_is_refused_over_its_rate_and_told_when_to_come_back():
    staged, clock = metered()
    async with client_of(staged) as client:
        left = [(await client.post("/ask", json=QUESTION)).headers["x-ratelimit-remaining-requests"] for _ in range(2)]
        refused = await client.post("/ask", json=QUESTION)
        clock.advance(30)
        again = await client.post("/ask", json=QUESTION)
    assert left == ["1", "0"]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert refused.json()["type"] == "/problems/quota-exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-reset-requests"] == "60.000s"
    assert again.status_code == 200
    assert len(staged.answerer.queries) == 3


async def test_every_endpoint_counts_and_nobody_elses_requests_do():
    staged, _ = metered()
    async with client_of(staged) as client:
        await client.post("/ask", json=QUESTION)
        await client.post("/search", json={"query": "x"})
        assert (await client.post("/search", json={"query": "x"})).status_code == 429
        others = await client.post("/ask", json=QUESTION, headers=OTHERS)
    assert others.status_code == 200
    assert "x-ratelimit-limit-requests" not in others.headers


async def test_tokens_are_told_beside_requests():
    staged, _ = metered(tokens_per_minute=1_000, requests_per_minute=100)
    await staged.meters.take(staged.book.of(READER.id), "tokens", 400)
    async with client_of(staged) as client:
        headers = (await client.post("/ask", json=QUESTION)).headers
    assert headers["x-ratelimit-remaining-tokens"] == "600"
    assert headers["x-ratelimit-limit-requests"] == "2", "the tightest one counts"


async def test_a_stream_tells_them_too():
    staged, _ = metered()
    async with client_of(staged) as client:
        response = await client.post("/ask", json=QUESTION | {"stream": True})
    assert response.headers["x-ratelimit-remaining-requests"] == "1"
