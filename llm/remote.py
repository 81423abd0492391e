"""A model on the other end of HTTP: asks, waits with patience, streams the answer. The same for every provider."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import httpx

from llm.abilities import Ability, left_out
from llm.completion import Completion, Piece, merged
from llm.config import RemoteConfig
from llm.dialect import Dialect, simpler
from llm.endpoint import Endpoint
from llm.failures import WireError, as_error, failure_of
from llm.patience import Patience
from rag.base.deadline import Clock, Deadline
from rag.base.errors import DependencyError, GroundwireError
from rag.base.types import Finished, ModelEvent, Prompt, Usage
from rag.infer import transport as net
from rag.infer.retry_after import retry_after_s

MAX_ERROR_BYTES = 64 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024  # of an answer that is not streamed

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """How one provider is asked and read. Touches no network and holds no state of a request."""

    @property
    def config(self) -> RemoteConfig:
        """What the model was configured with."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where it is asked."""
        ...

    @property
    def lacks(self) -> frozenset[Ability]:
        """The wishes that this API has no place for."""
        ...

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """The JSON that asks for a streamed answer to `prompt`."""
        ...

    def completion(self, target: str) -> Completion[Any]:
        """A reader for one answer."""
        ...

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """What a response that is no success tells; empty when it tells nothing."""
        ...


class RemoteModel:
    """A ChatModel behind a `Wire`.

    Learns from refusals what the server does not understand (see `Dialect`), asks again at once, and remembers.
    `on_headers` sees those of every response, which tell what is left of rate limits.
    """

    def __init__(
        self,
        wire: Wire,
        transport: httpx.AsyncBaseTransport,
        *,
        on_headers: Callable[[Mapping[str, str]], None] | None = None,
        clock: Clock = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.name = wire.config.model
        self._wire = wire
        self._transport = transport
        self._on_headers = on_headers
        self._clock = clock
        self._unix_time = unix_time
        self._target = f"model '{self.name}'"
        self._dialect = Dialect()

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Usage is estimated when the server does not tell it. The address is a note on every error."""
        try:
            async with aclosing(self._events(prompt, deadline)) as events:
                async for event in events:
                    yield event
        except GroundwireError as error:
            error.add_note(f"asked at {self._wire.endpoint.address}")
            raise

    async def _events(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent]:
        dropped = left_out(prompt, self._wire.lacks, self._target)
        patience = Patience(self._wire.config, deadline, self._target, self._clock)
        completion = self._wire.completion(self._target)
        async with (
            self._opened(prompt, patience) as response,
            aclosing(self._pieces(response, completion, patience)) as pieces,
        ):
            async for piece in pieces:
                for delta in piece.deltas():
                    yield delta
        reason = completion.end(offers_tools=bool(prompt.options.tools))
        guess = Usage(input_tokens=prompt.n_tokens, output_tokens=completion.n_estimated_tokens, estimated=True)
        yield completion.usage or guess
        if prompt.temperature is not None and not self._dialect.temperature:
            dropped = (*dropped, "temperature")
        yield Finished(reason=reason, model=self.name, dropped=dropped)

    @asynccontextmanager
    async def _opened(self, prompt: Prompt, patience: Patience) -> AsyncIterator[httpx.Response]:
        response = await self._asked(prompt, patience)
        try:
            yield response
        finally:
            await response.aclose()

    async def _asked(self, prompt: Prompt, patience: Patience) -> httpx.Response:
        """The first response that is a success; each round gives up one habit, so there are few."""
        while True:
            dialect = self._dialect
            request = await patience.wait(self._wire.endpoint.request(self._wire.body(prompt, dialect)))
            response = await patience.wait(net.send(self._transport, request, self._target))
            if self._on_headers:
                self._on_headers(_plain(response.headers))
            if response.is_success:
                return response
            body = await self._refusal(response, patience)
            error = self._wire.error(response.headers, body)
            plainer = simpler(dialect, response.status_code, error)
            if plainer is None:
                wait_s = retry_after_s(response.headers, body, self._unix_time())
                raise as_error(failure_of(response.status_code, error, wait_s), self._target)
            logger.warning("%s does not understand all of the request; from now on: %s", self._target, plainer)
            self._dialect = plainer

    async def _refusal(self, response: httpx.Response, patience: Patience) -> bytes:
        try:
            return await patience.wait(net.read(response, self._target, MAX_ERROR_BYTES))
        except DependencyError:
            return b""  # the status says enough
        finally:
            await response.aclose()

    async def _pieces(
        self, response: httpx.Response, completion: Completion[Any], patience: Patience
    ) -> AsyncGenerator[Piece]:
        if "json" in response.headers.get("content-type", ""):
            whole = completion.read_body(await patience.wait(net.read(response, self._target, MAX_BODY_BYTES)))
            completion.n_estimated_tokens = whole.estimated_tokens
            yield whole
            return
        async with aclosing(self._received(response, completion, patience)) as received:
            async for data in received:
                for piece in merged(_progress(completion, data, patience)):
                    yield piece

    async def _received(
        self, response: httpx.Response, completion: Completion[Any], patience: Patience
    ) -> AsyncGenerator[bytes | None]:
        """The bytes as they come, then None for the end of the stream; stops early when nothing more is awaited."""
        async with aclosing(net.body(response, self._target)) as body:
            while not completion.is_done:
                try:
                    data = await patience.wait(anext(body, None))
                except DependencyError:
                    if completion.is_whole:  # all that is lost is the usage
                        return
                    raise
                yield data
                if data is None:
                    return


def _progress(completion: Completion[Any], data: bytes | None, patience: Patience) -> Iterator[Piece]:
    """The pieces in the data that say something, each of which renews the patience."""
    for piece in completion.feed(data):
        if completion.is_whole:
            patience.finished()
        elif piece.is_progress:
            patience.progressed()
        if piece.is_progress:
            yield piece


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """The headers by lower-case name; httpx's own look each one up in a list, and there are many to look for."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.raw}
