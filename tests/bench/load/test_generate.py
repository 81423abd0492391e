"""The load generator against the simulated provider, whose bill says what really arrived."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import ConfigError
from rag.bench.load.generate import arrivals, generate
from rag.bench.load.plan import Arrivals, Closed, Lane, Open, Plan, Request, read_plan
from rag.bench.upstream.script import Book, Prompter, Script
from rag.bench.upstream.server import Upstream

BODY = '{"model": "m", "stream": true, "messages": []}'


@asynccontextmanager
async def serving(script: Script | Book) -> AsyncIterator[tuple[Upstream, int]]:
    upstream = Upstream(Prompter(script))
    async with await upstream.listen("127.0.0.1", 0) as server:
        yield upstream, server.sockets[0].getsockname()[1]


def plan(port: int, arriving: Arrivals, **lane) -> Plan:
    request = Request(path="/v1/chat/completions", body=BODY)
    lanes = (Lane(**({"name": "l", "requests": (request,), "arrivals": arriving, "contains": "[DONE]"} | lane)),)
    return Plan(host="127.0.0.1", port=port, lanes=lanes, seconds=0.2, timeout_s=0.5)


@pytest.mark.sockets
async def test_a_closed_loop_has_one_request_in_flight_for_each_client():
    async with serving(Script(first_token_s=0.01)) as (upstream, port):
        running = asyncio.create_task(generate(plan(port, Closed(clients=3))))
        seen = set()
        while not running.done():
            seen.add(upstream.bill.n_open)
            await asyncio.sleep(0.001)
        result = await running
    assert max(seen) == 3
    assert result.errors == {}
    assert result.n_replies == upstream.bill.totals["m"].n_requests > 3


@pytest.mark.sockets
async def test_an_open_loop_asks_whether_or_not_it_is_answered():
    async with serving(Script(ending="mute")) as (upstream, port):
        result = await generate(plan(port, Open(per_s=100)))
    expected = len(list(arrivals(100, 0.2, 0)))
    assert upstream.bill.totals["m"].n_requests == expected > 5
    assert result.errors == {"timeout": expected}


@pytest.mark.sockets
async def test_first_token_and_stalls_are_taken_from_the_stream():
    async with serving(Script(n_tokens=3, first_token_s=0.02, tokens_per_s=50)) as (_, port):
        lane = (await generate(plan(port, Closed(clients=1), first='"content":"w'))).lanes[0]
    assert 20 <= lane.first.p50 < lane.latency.p50
    assert 0 < lane.stall.p50 < lane.latency.p50


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(fault="server_error"), "status 500"),
        (Script(ending="unfinished"), "incomplete"),
        (Script(ending="cut"), "closed"),
        (Script(ending="hang_up"), "closed"),
        (Script(ending="silence"), "timeout"),
    ],
)
async def test_errors_have_classes(script, error):
    async with serving(script) as (_, port):
        result = await generate(plan(port, Closed(clients=1)))
    assert set(result.errors) == {error}
    assert result.n_replies == 0


@pytest.mark.sockets
async def test_a_refusal_that_is_expected_is_no_error():
    async with serving(Script(fault="rate_limit", retry_after="1")) as (_, port):
        lane = (await generate(plan(port, Closed(clients=1), refusals=(429,)))).lanes[0]
    assert lane.errors == {}
    assert lane.n_refused > 0
    assert lane.n_refused_without_wait == 0


@pytest.mark.sockets
async def test_nobody_listens():
    async with serving(Script()) as (_, port):
        pass
    assert set((await generate(plan(port, Closed(clients=1)))).errors) == {"connect"}


@given(st.floats(5, 500), st.integers(0, 100))
def test_arrivals_are_in_order_in_time_and_the_same_again(per_s, seed):
    times = list(arrivals(per_s, 2.0, seed))
    assert times == sorted(times) == list(arrivals(per_s, 2.0, seed))
    assert all(0 < at_s < 2.0 for at_s in times)


def test_arrivals_have_the_rate_that_is_asked_for():
    assert len(list(arrivals(100.0, 100.0, 1))) == pytest.approx(10_000, rel=0.03)


def test_a_plan_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="no plan"):
        read_plan(b'{"host": "h", "port": 1, "lanes": [], "seconds": 1}')
