import asyncio

import pytest

from rag.base.errors import BadDependency, DeadlineExceeded
from rag.serve.bodies import ClientLeft
from rag.serve.problems import report
from rag.serve.streams import HEARTBEAT, EventStream, event, while_connected
from tests.serve.stage import until


class Client:
    """The ASGI side of one client: leaves when told to, and takes what is sent while it may."""

    def __init__(self):
        self.sent = []
        self.leaves = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        await self.takes.wait()
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)


class Source:
    """Events that count how many were taken, and note in which task they were closed."""

    def __init__(self, *events, forever=False):
        self.events = events
        self.forever = forever
        self.n_taken = 0
        self.ran_in = self.closed_in = None

    async def stream(self):
        self.ran_in = asyncio.current_task()
        try:
            for one in self.events:
                if isinstance(one, Exception):
                    raise one
                self.n_taken += 1
                yield one
            while self.forever:
                self.n_taken += 1
                yield b"more"
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        finally:
            self.closed_in = asyncio.current_task()


def streamed(events, heartbeat_s=60.0, within_s=60.0):
    return EventStream(
        events, lambda error: event("error", report(error, "r1")), heartbeat_s=heartbeat_s, within_s=within_s
    )


async def play(stream, client):
    await stream({"type": "http"}, client.receive, client.send)


async def test_everything_is_sent_in_order():
    client = Client()
    await play(streamed(Source(b"a", b"b").stream()), client)
    assert client.sent[0]["type"] == "http.response.start"
    assert client.body == b"ab"
    assert not client.sent[-1]["more_body"]


async def test_what_comes_at_once_is_sent_at_once():
    client = Client()
    await play(streamed(Source(*[b"x"] * 50).stream()), client)
    assert client.body == b"x" * 50
    assert len(client.sent) <= 4


async def test_a_client_that_leaves_closes_the_source_in_its_own_task():
    client, source = Client(), Source(b"a", forever=True)
    playing = asyncio.create_task(play(streamed(source.stream()), client))
    await until(lambda: client.body)
    client.leaves.set()
    await playing
    assert source.closed_in is source.ran_in is not None


async def test_a_slow_reader_holds_the_source_back():
    client, source = Client(), Source(b"a", forever=True)
    client.takes.clear()
    playing = asyncio.create_task(play(streamed(source.stream()), client))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 1 < source.n_taken < 100
    client.leaves.set()
    await playing


async def test_a_reader_that_takes_nothing_is_cut_off():
    client, source = Client(), Source(b"a", forever=True)
    client.takes.clear()
    await play(streamed(source.stream(), within_s=0.01), client)
    assert source.closed_in is not None


async def test_silence_is_filled_with_heartbeats():
    quiet = asyncio.Event()

    async def events():
        yield b"a"
        await quiet.wait()
        yield b"b"

    client = Client()
    playing = asyncio.create_task(play(streamed(events(), heartbeat_s=0.001), client))
    await until(lambda: client.body.count(HEARTBEAT) > 1)
    quiet.set()
    await playing
    assert client.body.replace(HEARTBEAT, b"") == b"ab"


async def test_a_failure_before_the_first_event_is_raised():
    client = Client()
    with pytest.raises(BadDependency):
        await play(streamed(Source(BadDependency("away")).stream()), client)
    assert client.sent == []


async def test_a_failure_later_is_told_and_ends_the_stream():
    client = Client()
    await play(streamed(Source(b"a", BadDependency("away")).stream()), client)
    assert client.body.startswith(b"aevent: error\ndata: {")
    assert not client.sent[-1]["more_body"]


def test_an_event_is_three_lines():
    assert event("token", {"text": "a\nb"}) == b'event: token\ndata: {"text":"a\\nb"}\n\n'


async def test_work_ends_when_its_client_leaves():
    client, ended = Client(), asyncio.Event()

    async def work():
        try:
            client.leaves.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ClientLeft):
        await while_connected(client.receive, work(), within_s=60)
    assert ended.is_set()


async def test_work_ends_when_its_time_is_up():
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        await while_connected(Client().receive, asyncio.Event().wait(), within_s=0.01)


async def test_what_the_work_raises_comes_out():
    async def work():
        raise BadDependency("away")

    with pytest.raises(BadDependency):
        await while_connected(Client().receive, work(), within_s=60)
