"""What a client may send that is no request, or not yet; what it may send as one is in test_server.py."""

import asyncio

import msgspec
import pytest

from rag.serve.connection import KEEP_ALIVE_S, LAST_BODY_S, LAST_BYTES_S, MAX_HEAD_BYTES, REST_S, Connections
from tests.simulated import simulate

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """The client's end: what it was sent, and whether it is still connected."""

    def __init__(self, connections, *, is_deaf=False):
        super().__init__()
        self.sent = b""
        self.closed = self.lost = False
        self.is_deaf = is_deaf
        self.protocol = connections.connect()
        self.protocol.connection_made(self)

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True
        if not self.is_deaf:
            self.abort()

    def abort(self):
        if not self.lost:
            self.closed = self.lost = True
            self.protocol.connection_lost(None)

    def get_extra_info(self, name, default=None):
        return default

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def says(self, data):
        self.protocol.data_received(data)


async def echo(_scope, receive, send):
    """Answers with the body."""
    body, more_body = b"", True
    while more_body:
        message = await receive()
        body, more_body = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def polite(_scope, receive, send):
    """Answers when the body is there."""
    while (await receive()).get("more_body"):
        pass
    await curt(None, None, send)


async def curt(_scope, _receive, send):
    """Answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_who_begins_a_head_has_to_end_it(begun):
    async def scenario():
        wire = Wire(Connections(polite))
        for byte in begun:
            wire.says(bytes([byte]))
            await asyncio.sleep(0.1)
        await asyncio.sleep(REST_S - 0.1 * len(begun) - 1)
        assert not wire.closed
        await asyncio.sleep(5)
        assert wire.closed

    simulate(scenario())


def test_a_second_head_has_to_end_too_and_between_them_there_is_more_time():
    async def scenario():
        wire = Wire(Connections(polite))
        wire.says(GET)
        await asyncio.sleep(KEEP_ALIVE_S - 1)
        wire.says(GET[:10])
        await asyncio.sleep(REST_S - 1)
        assert not wire.closed
        await asyncio.sleep(2)
        assert wire.closed
        assert wire.sent.count(b"HTTP/1.1 200 OK") == 1

    simulate(scenario())


def test_a_connection_without_requests_is_closed():
    async def scenario():
        wire = Wire(Connections(polite))
        wire.says(GET)
        await asyncio.sleep(KEEP_ALIVE_S + 1)
        assert wire.closed

    simulate(scenario())


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 1000, b"GET / HTTP/1.1\r\nx: " + b"y" * 1000])
def test_a_head_without_an_end_is_refused(head):
    async def scenario():
        wire = Wire(Connections(polite))
        wire.says(head)
        for _ in range(MAX_HEAD_BYTES // 1000):
            assert not wire.closed
            wire.says(b"z" * 1000)
        assert wire.closed
        return wire.sent

    head, _, body = simulate(scenario()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert msgspec.json.decode(body)["type"] == "/problems/bad-request"


def test_what_is_no_http_is_refused_once():
    async def scenario():
        wire = Wire(Connections(polite))
        wire.says(b"\x16\x03\x01 hello")
        assert wire.closed
        return wire.sent

    assert simulate(scenario()).count(b"HTTP/1.1 400 ") == 1


def test_the_rest_of_a_body_that_was_answered_early_is_awaited_a_little():
    """So that a client that writes before it reads gets its answer, and one that never stops gets no more of us."""

    async def scenario():
        connections = Connections(curt)
        ends, never_ends = Wire(connections), Wire(connections)
        for wire in (ends, never_ends):
            wire.says(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
        await asyncio.sleep(LAST_BODY_S / 2)
        ends.says(b"67890" + GET)
        await asyncio.sleep(LAST_BODY_S)
        assert (ends.closed, never_ends.closed) == (False, True)
        assert ends.sent.count(b"HTTP/1.1 200 OK") == 2

    simulate(scenario())


@pytest.mark.parametrize("body", [b"12345", b"\r\n\r\nupgrade: x"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_wish_for_another_protocol_is_ignored(body, in_pieces):
    """The JDK's client asks for HTTP/2 so, and sends its body all the same."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\ncontent-length: %d\r\n\r\n"

    async def scenario():
        wire = Wire(Connections(echo))
        pieces = [head % len(body), body[:3], body[3:]]
        for piece in pieces if in_pieces else [b"".join(pieces)]:
            wire.says(piece)
        await asyncio.sleep(1)
        return wire.sent

    assert b"%x\r\n%b\r\n0\r\n" % (len(body), body) in simulate(scenario())


def test_only_so_many_are_let_in():
    async def scenario():
        connections = Connections(polite, max_connections=2)
        wires = [Wire(connections) for _ in range(3)]
        assert [wire.closed for wire in wires] == [False, False, True]
        wires[0].close()
        assert not Wire(connections).closed

    simulate(scenario())


def test_one_who_never_reads_the_end_is_let_go():
    async def scenario():
        wire = Wire(Connections(polite), is_deaf=True)
        wire.says(b"GET / HTTP/1.0\r\n\r\n")
        await asyncio.sleep(1)
        assert (wire.closed, wire.lost) == (True, False)
        await asyncio.sleep(2 * LAST_BYTES_S)
        assert wire.lost

    simulate(scenario())


def test_closing_waits_for_answers_and_for_nothing_else():
    async def scenario():
        answered = asyncio.Event()

        async def slow(scope, receive, send):
            await answered.wait()
            await polite(scope, receive, send)

        connections = Connections(slow)
        idle, asking = Wire(connections), Wire(connections)
        asking.says(GET)
        await asyncio.sleep(0)
        connections.close()
        closed = asyncio.ensure_future(connections.wait_closed())
        await asyncio.sleep(1)
        assert (idle.closed, asking.closed, closed.done()) == (True, False, False)
        answered.set()
        await closed
        assert b"connection: close" in asking.sent

    simulate(scenario())
