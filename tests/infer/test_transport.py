"""The real connections, against a server on the loopback interface."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest

from llm.config import OpenAIConfig
from llm.openai import OpenAIWire
from llm.remote import RemoteModel
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, Unavailable
from rag.base.types import Finished, TextDelta
from rag.infer import transport as net
from rag.infer.connection import MAX_HEAD_BYTES, MAX_WAITING_BYTES
from rag.infer.exchange import Address, Request, Transport
from rag.infer.transport import open_transport
from rag.telemetry.spans import Tracer
from tests.prompts import a_prompt
from tests.remote_models import mocked

pytestmark = pytest.mark.sockets

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
PROMPT = a_prompt("When?", "Then.")


def framed(payload: bytes) -> bytes:
    return f"{len(payload):x}\r\n".encode() + payload + b"\r\n"


TOKEN = framed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
END = framed(b"data: [DONE]\n\n") + framed(b"")


def asking(url: str, body: bytes = b"{}") -> Request:
    return Request(address=Address.of(url), headers={"x": "y"}, body=body, connect_timeout_s=5.0)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def model_behind(serve: Serve, max_connections: int = 4) -> AsyncIterator[RemoteModel]:
    async with address_of(serve) as url, open_transport(max_connections) as transport:
        yield RemoteModel(OpenAIWire(OpenAIConfig(base_url=f"{url}/v1", model="m")), transport)


@asynccontextmanager
async def address_of(serve: Serve) -> AsyncIterator[str]:
    """Serves each connection, and closes it afterwards; at the end they have all ended."""
    served: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(5):
        await asyncio.gather(*(task for task in served if task), return_exceptions=True)


async def test_answers_share_one_connection_and_send_no_cookies():
    connections: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        connections.append(requests)
        while not reader.at_eof():
            try:
                requests.append(await read_request(reader))
            except asyncio.IncompleteReadError:
                break
            writer.write(HEAD + b"set-cookie: a=b\r\n\r\n" + TOKEN + END)
            await writer.drain()

    async with model_behind(serve) as model:
        for _ in range(2):
            events = [event async for event in model.stream(PROMPT, Deadline.after(10))]
            assert events[0] == TextDelta(text="x")
            assert isinstance(events[-1], Finished)
    assert [len(requests) for requests in connections] == [2]
    assert b"cookie" not in connections[0][1].lower()


async def test_leaving_a_stream_early_closes_its_connection():
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"\r\n" + TOKEN)
        await writer.drain()
        assert await reader.read() == b""
        gone.set()

    async with model_behind(serve) as model:
        async with aclosing(model.stream(PROMPT, Deadline.after(10))) as events:
            assert await anext(events) == TextDelta(text="x")
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_connection_that_is_cut_in_mid_answer_is_a_bad_dependency():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"\r\n" + TOKEN)
        await writer.drain()
        writer.transport.abort()

    async with model_behind(serve) as model:
        with pytest.raises(BadDependency, match="broke off"):
            [event async for event in model.stream(PROMPT, Deadline.after(10))]


@pytest.mark.parametrize("answer", [b"", b"SMTP ready\r\n"])
async def test_a_server_that_does_not_speak_http_is_unavailable(answer):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with model_behind(serve) as model:
        with pytest.raises(Unavailable, match="cannot be reached"):
            [event async for event in model.stream(PROMPT, Deadline.after(10))]


async def test_a_port_where_nobody_listens_is_unavailable(unused_tcp_port):
    config = OpenAIConfig(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", model="m")
    async with open_transport(1) as transport:
        with pytest.raises(Unavailable, match="cannot be reached"):
            [event async for event in RemoteModel(OpenAIWire(config), transport).stream(PROMPT, Deadline.after(10))]


async def test_a_request_carries_the_trace_that_it_belongs_to() -> None:
    seen = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent"))
        return httpx.Response(200)

    transport = mocked(respond)
    with Tracer(lambda _: None).request("root", "server") as span:
        await net.send(transport, asking("http://up/"), "it")
    await net.send(transport, asking("http://up/"), "it")
    assert seen == [f"00-{span.trace.id:032x}-{span.id:016x}-01", None]


async def whole(transport: Transport, request: Request) -> bytes:
    reply = await net.send(transport, request, "it")
    try:
        return await net.read(reply, "it", 1 << 20)
    finally:
        await reply.aclose()


def saying(*responses: bytes) -> tuple[Serve, list[bytes]]:
    """Each request is answered with the next of the responses; the connection ends after the last one."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in responses:
            asked.append(await read_request(reader))
            writer.write(response)
            await writer.drain()

    return serve, asked


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\na\r\n1\r\nb\r\n0\r\nlate: z\r\n\r\n", b"ab"),
        (b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n\r\nall until the end", b"all until the end"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
    ],
    ids=["length", "chunks", "announced", "empty", "until the end", "old"],
)
async def test_a_body_is_read_however_it_is_framed(response, body):
    serve, asked = saying(response)
    async with address_of(serve) as url, open_transport(1) as transport:
        assert await whole(transport, asking(f"{url}/a%2Fb?c=d")) == body
    lines = asked[0].split(b"\r\n")
    assert lines[0] == b"POST /a%2Fb?c=d HTTP/1.1"
    assert {b"host: " + url.removeprefix("http://").encode(), b"x: y", b"content-length: 2"} <= {*lines}


async def test_headers_of_one_name_are_joined_and_their_names_are_small():
    serve, _ = saying(b"HTTP/1.1 200 OK\r\nVary: a\r\nvary: b\r\nX-Id: C\r\ncontent-length: 0\r\n\r\n")
    async with address_of(serve) as url, open_transport(1) as transport:
        reply = await net.send(transport, asking(url), "it")
        await reply.aclose()
    assert (reply.headers["vary"], reply.headers["x-id"]) == ("a, b", "C")


@pytest.mark.parametrize(
    "damaged",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
    ],
    ids=["too short", "no last chunk", "no size"],
)
async def test_a_body_that_is_not_all_there_is_a_bad_dependency(damaged):
    serve, _ = saying(damaged)
    async with address_of(serve) as url, open_transport(1) as transport:
        with pytest.raises(BadDependency, match="broke off"):
            await whole(transport, asking(url))


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD_BYTES, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"],
    ids=["endless", "another protocol"],
)
async def test_a_head_that_makes_no_sense_is_unavailable(head):
    serve, _ = saying(head)
    async with address_of(serve) as url, open_transport(1) as transport:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await whole(transport, asking(url))


async def test_a_packed_body_is_refused_as_nobody_asked_for_it():
    serve, _ = saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab")
    async with address_of(serve) as url, open_transport(1) as transport:
        with pytest.raises(Unavailable):
            await whole(transport, asking(url))


async def test_a_connection_that_the_server_closed_meanwhile_is_not_asked_again():
    fine = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    serve, asked = saying(fine + b"ok")
    async with address_of(serve) as url, open_transport(1) as transport:
        for _ in range(3):
            assert await whole(transport, asking(url)) == b"ok"
            await asyncio.sleep(0.05)  # the network's own time, for the end of the connection to arrive
    assert len(asked) == 3


async def test_what_the_server_says_unasked_ends_the_connection_and_is_no_answer():
    ok, stray = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"
    serve, _ = saying(ok + stray)
    async with address_of(serve) as url, open_transport(1) as transport:
        assert [await whole(transport, asking(url)) for _ in range(3)] == [b"ok"] * 3


@pytest.mark.parametrize("value", ["a\r\nhost: elsewhere", "a\nb", "a\rb", "gru\u00df"])
async def test_a_header_of_more_than_one_line_of_ascii_is_not_sent_and_takes_nobodys_place(value: str):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with address_of(serve) as url, open_transport(1) as transport:
        odd = asking(url)
        odd.headers["x"] = value
        for _ in range(2):
            with pytest.raises(Unavailable, match="m cannot be reached"):
                await net.send(transport, odd, "m")
        reply = await net.send(transport, asking(url), "m")
        await reply.aclose()
        assert reply.status == 200


async def test_no_more_connections_are_open_than_allowed_and_those_who_wait_get_their_turn():
    n_open = most = 0
    three = asyncio.Barrier(3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_open, most
        n_open += 1
        most = max(most, n_open)
        await read_request(reader)
        await three.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        n_open -= 1

    async with address_of(serve) as url, open_transport(3) as transport:
        assert await asyncio.gather(*(whole(transport, asking(url)) for _ in range(12))) == [b"ok"] * 12
    assert most == 3


async def test_one_who_leaves_before_the_head_ends_the_connection_and_gives_its_place_back():
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"wait" in await read_request(reader):
            await reader.read()
            gone.set()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()

    async with address_of(serve) as url, open_transport(1) as transport:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await whole(transport, asking(url, b"wait"))
        async with asyncio.timeout(5):
            await gone.wait()
            assert await whole(transport, asking(url)) == b"ok"


async def test_a_server_waits_while_nobody_reads():
    size = 128 * MAX_WAITING_BYTES  # far beyond what a system keeps between the two
    sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.set_write_buffer_limits(0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
        await writer.drain()
        sent.set()

    async with address_of(serve) as url, open_transport(1) as transport:
        reply = await net.send(transport, asking(url), "it")
        await asyncio.sleep(0.2)  # time for the network to bring all of it, if it were read
        assert not sent.is_set()
        assert len(await net.read(reply, "it", size)) == size
        await reply.aclose()
        await sent.wait()


async def test_connections_pass_from_one_to_the_next_without_losing_a_word():
    """One connection for many: whoever waits takes it over in the moment in which the answer before is complete."""
    n = 200
    serve, _ = saying(*([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"] * n))
    async with address_of(serve) as url, open_transport(1) as transport, asyncio.timeout(30):
        assert await asyncio.gather(*(whole(transport, asking(url)) for _ in range(n))) == [b"ok"] * n


async def test_a_long_answer_that_was_held_does_not_hold_the_next_one():
    size = 2 * MAX_WAITING_BYTES
    long = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)
    serve, _ = saying(*([long] * 8))
    async with address_of(serve) as url, open_transport(1) as transport, asyncio.timeout(30):
        assert [len(await whole(transport, asking(url))) for _ in range(8)] == [size] * 8
