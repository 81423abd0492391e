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
from rag.infer.transport import open_transport
from rag.telemetry.spans import Tracer
from tests.prompts import a_prompt

pytestmark = pytest.mark.sockets

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
PROMPT = a_prompt("When?", "Then.")


def framed(payload: bytes) -> bytes:
    return f"{len(payload):x}\r\n".encode() + payload + b"\r\n"


TOKEN = framed(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
END = framed(b"data: [DONE]\n\n") + framed(b"")


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def model_behind(serve: Serve, max_connections: int = 4) -> AsyncIterator[RemoteModel]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_transport(max_connections) as transport:
        yield RemoteModel(OpenAIWire(OpenAIConfig(base_url=f"http://127.0.0.1:{port}/v1", model="m")), transport)


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
        writer.close()

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
        writer.close()

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
        writer.close()

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

    transport = httpx.MockTransport(respond)
    with Tracer(lambda _: None).request("root", "server") as span:
        await net.send(transport, httpx.Request("GET", "http://up/"), "it")
    await net.send(transport, httpx.Request("GET", "http://up/"), "it")
    assert seen == [f"00-{span.trace.id:032x}-{span.id:016x}-01", None]
