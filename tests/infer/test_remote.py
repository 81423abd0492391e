"""A call to a remote model: what is asked again, what is not, and until when."""

import asyncio

import httpx
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, ConfigError, DeadlineExceeded, Overloaded, Unavailable
from rag.base.secret import Secret
from rag.infer.endpoint import Endpoint
from rag.infer.remote import NoAdmission, Refused, Remote
from tests.remote_models import Script, mocked

FINE = httpx.Response(200, json={"fine": True})


class Clock:
    """Goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


def remote(script: Script, clock: Clock | None = None, **changes) -> Remote:
    clock = clock or Clock()
    endpoint = Endpoint(**{"base_url": "http://up/v1/", "model": "m"} | changes)
    return Remote(endpoint, "embeddings", mocked(script), clock=clock, sleep=clock.sleep)


def within(clock: Clock, seconds: float = 60.0) -> Deadline:
    return Deadline(clock.now_s + seconds)


async def test_it_posts_json_below_the_base_url_with_the_credentials():
    script = Script(FINE)
    secret = {"api_key": Secret("k1"), "headers": {"X-Team": Secret("blue")}}
    reply = await remote(script, **secret).post(b'{"a":1}', within(Clock()))
    (request,) = script.requests
    assert reply == FINE.content
    assert (request.method, str(request.url), request.content) == ("POST", "http://up/v1/embeddings", b'{"a":1}')
    assert request.headers["authorization"] == "Bearer k1"
    assert request.headers["x-team"] == "blue"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(500),
        httpx.Response(502),
        httpx.Response(503),
        httpx.Response(408),
        httpx.Response(429),
        httpx.ConnectError("no route"),
    ],
    ids=["500", "502", "503", "408", "429", "unreachable"],
)
async def test_what_may_pass_is_asked_again_after_ever_longer_waits(failure):
    clock = Clock()
    script = Script(failure, failure, FINE)
    assert await remote(script, clock).post(b"{}", within(clock)) == FINE.content
    assert len(script.requests) == 3
    first_s, second_s = clock.slept_s
    assert 0.125 <= first_s <= 0.375
    assert 0.25 <= second_s <= 0.75


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (404, Refused), (413, Refused), (422, Refused), (302, Refused), (401, NoAdmission)],
)
async def test_what_will_not_pass_is_asked_once(status, error):
    script = Script(httpx.Response(status, text="the key k1 or the text itself"))
    with pytest.raises(error, match=f"HTTP {status}") as raised:
        await remote(script, api_key=Secret("k1")).post(b"{}", within(Clock()))
    assert len(script.requests) == 1
    assert "k1" not in str(raised.value)


async def test_it_gives_up_after_the_last_attempt_with_the_last_error():
    script = Script(httpx.Response(503))
    with pytest.raises(Unavailable, match="overloaded or failing"):
        await remote(script, max_attempts=4).post(b"{}", within(Clock()))
    assert len(script.requests) == 4


async def test_a_server_that_says_when_to_come_back_is_believed_unless_that_is_too_late():
    clock = Clock()
    busy = httpx.Response(429, headers={"retry-after": "7"})
    assert await remote(Script(busy, FINE), clock).post(b"{}", within(clock)) == FINE.content
    assert clock.slept_s == [7.0]
    with pytest.raises(Overloaded) as raised:
        await remote(Script(busy, FINE), clock).post(b"{}", within(clock, 5.0))
    assert raised.value.retry_after_s == 7.0
    assert clock.slept_s == [7.0], "a wait past the deadline is not begun"


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(0.01, 60.0), (30.0, 0.01)])
async def test_a_silent_server_is_given_up_in_time(timeout_s, deadline_s):
    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    endpoint = Endpoint(base_url="http://up", model="m", timeout_s=timeout_s)
    with pytest.raises(DeadlineExceeded, match="did not answer"):
        await Remote(endpoint, "rerank", mocked(silent)).post(b"{}", Deadline.after(deadline_s))


async def test_a_reply_without_end_is_refused():
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b"x" * (1 << 20)

    transport = mocked(lambda _: httpx.Response(200, stream=Endless()))
    endpoint = Endpoint(base_url="http://up", model="m", max_attempts=1)
    with pytest.raises(BadDependency, match="bytes"):
        await Remote(endpoint, "rerank", transport).post(b"{}", Deadline.after(60))


def test_a_credential_that_no_header_can_hold_is_a_configuration_error():
    with pytest.raises(ConfigError, match="authorization") as raised:
        remote(Script(FINE), api_key=Secret("two\nlines"))
    assert "two" not in str(raised.value)
