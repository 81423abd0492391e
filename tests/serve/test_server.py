"""Over real sockets."""

import asyncio
import gc
import signal
import socket
import sys
from collections import Counter
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from rag.base.errors import ConfigError
from rag.govern.keys import KeyRing
from rag.govern.limits import Limits
from rag.serve.server import StopButton, bind, serve
from tests.serve.stage import READS, StageAnswerer, events_in, services, until

pytestmark = pytest.mark.sockets

STREAM = {"question": "x", "stream": True}


@asynccontextmanager
async def served(staged):
    """A client of a server in this loop; stopped as by a signal, and waited for."""

    @asynccontextmanager
    async def opened():
        yield staged

    bound, button, listening = bind("127.0.0.1", 0), StopButton(), asyncio.Event()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    serving = asyncio.create_task(serve(opened(), bound, version="0", on_listening=listening.set, button=button))
    await asyncio.wait({serving, asyncio.ensure_future(listening.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        async with httpx.AsyncClient(base_url=url, headers=READS) as client:
            client.stop = button.press
            client.serving = serving
            yield client
    finally:
        button.press()
        button.press()
        async with asyncio.timeout(10):
            await serving


async def test_events_arrive_while_the_answer_is_written():
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with served(services(answerer=answerer)) as client, client.stream("POST", "/ask", json=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        pieces = response.aiter_text()
        first = await anext(pieces)
        assert [name for name, _ in events_in(first)] == ["sources"]
        answerer.gate.set()
        rest = "".join([piece async for piece in pieces])
    assert [name for name, _ in events_in(rest)] == ["token", "token", "citation", "usage", "done"]


async def test_a_silent_stream_has_a_heart():
    answerer = StageAnswerer()
    answerer.gate.clear()
    staged = services(answerer=answerer, limits=Limits(heartbeat_s=0.02))
    async with served(staged) as client, client.stream("POST", "/ask", json=STREAM) as response:
        heard = ""
        async for piece in response.aiter_text():
            heard += piece
            if heard.count(": still here") == 2:
                answerer.gate.set()
    assert heard.count(": still here") >= 2
    assert events_in(heard.replace(": still here\n\n", ""))[-1][0] == "done"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_takes_its_work_with_it(stream):
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with served(services(answerer=answerer)) as client, asyncio.timeout(5):
        asking = asyncio.create_task(client.post("/ask", json={"question": "x", "stream": stream}))
        await answerer.began.wait()
        assert not answerer.closed.is_set()
        asking.cancel()
        await answerer.closed.wait()


async def test_requests_in_flight_end_before_the_server_does():
    answerer = StageAnswerer()
    answerer.gate.clear()
    staged = services(answerer=answerer)
    staged.health.warmed_up()
    async with served(staged) as client:
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        streaming = asyncio.create_task(client.post("/ask", json=STREAM))
        await until(lambda: len(answerer.queries) == 2)
        client.stop()
        await until(lambda: not staged.health.ready)
        assert staged.health.failing() == ["draining"]
        assert not client.serving.done()
        answerer.gate.set()
        assert (await asking).json()["answer"] == "14 days. [1]"
        assert events_in((await streaming).text)[-1][0] == "done"
        async with asyncio.timeout(5):
            await client.serving


async def test_a_draining_server_takes_no_new_connections():
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with served(services(answerer=answerer)) as client, asyncio.timeout(5):
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        await answerer.began.wait()
        client.stop()
        async with httpx.AsyncClient(base_url=client.base_url) as late:
            with pytest.raises(httpx.TransportError):  # refused, or reset where it was waiting to be accepted
                await _ask_until_refused(late)
        answerer.gate.set()
        await asking


async def _ask_until_refused(client):
    while True:
        await client.get("/livez", headers={"connection": "close"})


async def test_a_server_may_linger_unready_before_it_closes_its_port():
    staged = services(limits=Limits(linger_s=60.0))
    staged.health.warmed_up()
    async with served(staged) as client, asyncio.timeout(5):
        client.stop()
        await until(lambda: not staged.health.ready)
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["detail"]) == (503, "not ready: draining")
        client.stop()
        await client.serving


@pytest.mark.parametrize("drain_s", [0.05, 60.0])
async def test_what_does_not_end_is_ended(drain_s):
    """By the limit, or by a second signal."""
    answerer = StageAnswerer()
    answerer.gate.clear()
    async with served(services(answerer=answerer, limits=Limits(drain_s=drain_s))) as client, asyncio.timeout(5):
        asking = asyncio.create_task(client.post("/ask", json={"question": "x"}))
        await answerer.began.wait()
        client.stop()
        if drain_s > 1:
            client.stop()
        await client.serving
        assert answerer.closed.is_set()
        assert (await asking).status_code == 500


async def test_a_connection_that_says_nothing_does_not_hold_the_server():
    async with served(services()) as client, asyncio.timeout(5):
        _, half = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        half.write(b"POST /ask HTTP/1.1\r\nhost: x\r\n")
        await half.drain()
        await client.get("/livez")
        client.stop()
        await asyncio.sleep(0)
        client.stop()
        assert await client.serving is None, "it ended although the connection is still open"
        half.close()


async def test_a_body_without_a_length_is_bounded_too():
    async def pieces():
        yield b'{"question": "'
        for _ in range(20):
            yield b"x" * 100

    async with served(services(limits=Limits(max_body_bytes=1000))) as client:
        response = await client.post("/ask", content=pieces(), headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")
    assert "1000 bytes" in response.json()["detail"]


async def test_a_body_that_never_ends_gives_its_connection_back():
    key = READS["authorization"].encode()
    head = b"POST /ask HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-type: application/json\r\n" % key
    async with served(services(limits=Limits(body_timeout_s=0.05))) as client:
        reader, half = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        half.write(head + b'content-length: 100\r\n\r\n{"question":')
        async with asyncio.timeout(10):
            answer = await reader.read()
        half.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"/problems/too-slow" in answer


async def test_a_client_that_leaves_within_its_body_is_not_our_failure(caplog):
    staged = services()
    key = READS["authorization"].encode()
    head = b"POST /ask HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-type: application/json\r\n" % key
    async with served(staged) as client:
        _, half = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        half.write(head + b'content-length: 100\r\n\r\n{"question":')
        await half.drain()
        await client.get("/livez")
        half.close()
        await half.wait_closed()
        await client.get("/livez")
    assert caplog.text == ""
    assert staged.answerer.queries == []


@pytest.mark.parametrize(
    "target",
    ["/documents?cursor=%ff", "/documents/%ff%00", "/%ff", "/ask%00", "/documents?format=%ed%a0%80", "//", "/..%2f"],
)
async def test_odd_targets_are_refused_politely(target):
    async with served(services()) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % target.encode())
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert 400 <= int(head.split()[1]) < 500
    assert msgspec.json.decode(body)["status"] == int(head.split()[1])


def test_small_pieces_leave_at_once():
    """Else the first event of a stream waits for the client to acknowledge the head, which takes it up to 40 ms."""
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        with socket.create_connection(bound.getsockname()):
            connection, _ = bound.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_taken_port_is_a_configuration_error():
    async with served(services()) as client:
        with pytest.raises(ConfigError, match="choose another"):
            bind("127.0.0.1", client.base_url.port)


async def test_an_address_that_is_not_ours_is_a_configuration_error():
    with pytest.raises(ConfigError, match="cannot listen"):
        bind("203.0.113.7", 0)


async def test_an_open_server_listens_on_loopback_only():
    @asynccontextmanager
    async def opened():
        yield services(keys=KeyRing())

    with pytest.raises(ConfigError, match="without API keys"):
        await serve(opened(), bind("0.0.0.0", 0), version="0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_process_and_it_exits_with_0(number):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.serve.process",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        port = int(await process.stdout.readline())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/readyz")).status_code == 200
            process.send_signal(number)
            out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"query": "x"}),
        ("/ask", {"question": "x"}),
        ("/ask", STREAM),
        ("/v1/chat/completions", {"model": "rag/default", "messages": [{"role": "user", "content": "x"}]}),
    ],
)
async def test_nothing_of_a_request_stays_when_it_is_over(path, body):
    """One callback on what a connection keeps would keep all of a request."""
    async with served(services()) as client:

        async def left_after(n_requests):
            for _ in range(n_requests):
                assert (await client.post(path, json=body)).is_success
            gc.collect()
            return Counter(kind.__name__ for kind in map(type, gc.get_objects()))

        before = await left_after(5)
        more = await left_after(30) - before
    kept_by_the_stage = {"Principal", "Query", "tuple", "frozenset"}
    of_an_import = {"ReferenceType", "builtin_function_or_method"}
    assert {kind for kind, n in more.items() if n >= 20} - kept_by_the_stage - of_an_import == set()
