"""One JSON call to a model behind HTTP, asked again while that may help and the deadline allows it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from rag.base.deadline import Clock, Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, GroundwireError, Overloaded, Unavailable
from rag.infer import transport as net
from rag.infer.endpoint import Endpoint, request_headers
from rag.infer.exchange import Address, Reply, Request, Transport, is_success
from rag.infer.retry_after import retry_after_s

MAX_REPLY_BYTES = 64 * 1024 * 1024
FIRST_WAIT_S = 0.25  # doubles with every attempt
BUSY = frozenset({408, 425, 429})
LOCKED = frozenset({401, 402, 403})

Sleep = Callable[[float], Awaitable[None]]


class Refused(BadDependency):
    """It will not do what it was asked, and asking again will not help."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NoAdmission(Unavailable):
    """It does not accept the credentials, which asking again will not change."""


class Remote:
    """Posts JSON to one path below an endpoint's `base_url`. The call must be free of side effects: it is repeated."""

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        transport: Transport,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.target = f"model '{endpoint.model}'"
        self._endpoint = endpoint
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._url = Address.of(f"{endpoint.base_url.rstrip('/')}/{path}")
        self._headers = request_headers(endpoint.api_key, endpoint.headers, accept="application/json")

    async def post(self, body: bytes, deadline: Deadline) -> bytes:
        """The body of the first reply that is a success.

        Raises Overloaded, Unavailable, DeadlineExceeded, and BadDependency (Refused, where the request is at fault).
        """
        attempt = 1
        while True:
            try:
                return await self._once(body, deadline)
            except (Refused, NoAdmission):
                raise
            except (BadDependency, Unavailable, Overloaded) as error:
                wait_s = self._wait_s(error, attempt)
                if attempt == self._endpoint.max_attempts or wait_s >= deadline.remaining_s(self._clock):
                    raise
            await self._sleep(wait_s)
            attempt += 1

    async def _once(self, body: bytes, deadline: Deadline) -> bytes:
        left_s = deadline.remaining_s(self._clock)
        try:
            async with asyncio.timeout(min(self._endpoint.timeout_s, left_s)):
                return await self._reply(body)
        except GroundwireError as error:
            error.add_note(f"asked at {self._url.text}")  # for the log: callers need not know
            raise
        except TimeoutError as fault:
            complaint = "by the deadline of the request"
            if self._endpoint.timeout_s < left_s:
                complaint = f"within {self._endpoint.timeout_s:g} s"
            raise DeadlineExceeded(f"{self.target} did not answer {complaint}") from fault

    async def _reply(self, body: bytes) -> bytes:
        request = Request(
            address=self._url,
            headers=self._headers.copy(),
            body=body,
            connect_timeout_s=self._endpoint.connect_timeout_s,
        )
        reply = await net.send(self._transport, request, self.target)
        try:
            if is_success(reply):
                return await net.read(reply, self.target, MAX_REPLY_BYTES)
            raise self._failure(reply)
        finally:
            await reply.aclose()

    def _failure(self, reply: Reply) -> Exception:
        """The error to raise. What the server says stays out of it: it may repeat a key or a text."""
        status = reply.status
        answered = f"{self.target} answered HTTP {status}"
        if status in LOCKED:
            return NoAdmission(f"{answered}: check its `api_key` setting")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            wait_s = retry_after_s(reply.headers, b"", time.time())
            return Overloaded(f"{answered}: it is overloaded", retry_after_s=FIRST_WAIT_S if wait_s is None else wait_s)
        if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unavailable(f"{answered}: it is overloaded or failing")
        advice = "check its `base_url` and `model` settings" if status in (404, 405) or status < 400 else "it refused"
        return Refused(f"{answered}: {advice}", status)

    def _wait_s(self, error: Exception, attempt: int) -> float:
        own_s = FIRST_WAIT_S * 2.0 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311 - spreads callers, hides nothing
        return max(own_s, error.retry_after_s) if isinstance(error, Overloaded) else own_s
