"""The simulated provider behind a port: the same responses over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import DependencyError
from rag.base.types import Finished, TextDelta, Usage
from rag.bench.upstream.performance import WIRES
from rag.bench.upstream.script import Book, Prompter, Script
from rag.bench.upstream.server import Upstream
from rag.infer.transport import open_transport
from tests.bench.upstream.providers import model
from tests.upstream import PROMPT, events_of, text_of

pytestmark = pytest.mark.sockets


@asynccontextmanager
async def serving(book: Book | Script | None = None) -> AsyncIterator[tuple[Upstream, str]]:
    upstream = Upstream(Prompter(book))
    server = await upstream.listen("127.0.0.1", 0)
    async with server:
        yield upstream, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("first_token_s", [0.0, 0.01], ids=["instant", "later"])
async def test_every_wire_is_read_over_a_connection(wire, first_token_s):
    script = Script(n_tokens=4, input_tokens=9, first_token_s=first_token_s)
    async with serving(script) as (upstream, root), open_transport(4) as transport:
        for _ in range(2):
            events = await events_of(model(wire, transport, root))
            assert text_of(events) == "w00 w01 w02 w03 "
            assert isinstance(events[-2], Usage)
            assert (events[-2].input_tokens, events[-2].output_tokens) == (9, 4)
            assert isinstance(events[-1], Finished)
    assert upstream.bill.totals["m"].output_tokens == 8


@pytest.mark.parametrize("ending", ["unfinished", "cut", "reset", "hang_up"])
async def test_a_bad_ending_over_a_connection_is_an_error(ending):
    async with serving(Script(ending=ending, after_tokens=1)) as (upstream, root), open_transport(4) as transport:
        with pytest.raises(DependencyError):
            await events_of(model("openai", transport, root))
    assert upstream.bill.lines[0].output_tokens == (0 if ending == "hang_up" else 1)


async def test_a_client_that_disconnects_is_noticed():
    async with serving(Script(n_tokens=2, ending="silence")) as (upstream, root), open_transport(4) as transport:
        async with aclosing(model("anthropic", transport, root).stream(PROMPT, Deadline.after(30))) as events:
            assert isinstance(await anext(events), TextDelta)
        async with asyncio.timeout(5), httpx.AsyncClient(base_url=root) as client:
            while (await client.get("/bench/bill")).json()["n_open"]:
                pass
    assert upstream.bill.lines[0].left


async def test_scripts_and_bill_are_at_hand_while_it_runs():
    async with serving() as (_, root), httpx.AsyncClient(base_url=root) as client:
        book = {"models": {"down": {"fault": "overloaded"}}}
        assert (await client.put("/bench/scripts", json=book)).status_code == 200
        for name, status in (("down", 503), ("up", 200)):
            reply = await client.post("/v1/chat/completions", json={"model": name, "messages": []})
            assert reply.status_code == status
        bill = (await client.get("/bench/bill")).json()
        assert bill["totals"]["down"]["n_refused"] == 1
        assert [line["model"] for line in bill["lines"]] == ["down", "up"]
        await client.delete("/bench/bill")
        assert (await client.get("/bench/bill")).json()["totals"] == {}
        assert (await client.put("/bench/scripts", json={"modles": {}})).status_code == 400
        assert (await client.get("/nothing")).status_code == 404


async def test_requests_may_come_in_chunks_and_in_pieces():
    async def body() -> AsyncIterator[bytes]:
        for piece in (b'{"model":', b' "m", "messages"', b": []}"):
            yield piece

    async with serving() as (upstream, root), httpx.AsyncClient(base_url=root) as client:
        for _ in range(2):
            reply = await client.post("/v1/chat/completions", content=body())
            assert json.loads(reply.content)["model"] == "m"
    assert upstream.bill.totals["m"].n_requests == 2
