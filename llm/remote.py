"""A model on the other end of HTTP: asks, waits with patience, streams the answer. The same for every provider."""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from llm.abilities import Ability, left_out
from llm.completion import Completion, Piece
from llm.config import RemoteConfig
from llm.dialect import Dialect, simpler
from llm.endpoint import Endpoint
from llm.failures import WireError, as_error, failure_of
from llm.patience import Patience
from rag.base.deadline import Clock, Deadline
from rag.base.errors import DependencyError, GroundwireError
from rag.base.types import Finished, ModelEvent, Prompt, Usage
from rag.infer import transport as net
from rag.infer.exchange import Reply, Transport, is_success
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
        transport: Transport,
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

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port. Usage is estimated when the server does not tell it. The address is a note on every error."""
        reply: Reply | None = None
        patience = Patience(self._wire.config, deadline, self._target, self._clock)
        try:
            dropped = left_out(prompt, self._wire.lacks, self._target)
            completion = self._wire.completion(self._target)
            reply = await self._asked(prompt, patience)
            while not completion.is_over:
                for piece in await self._pieces(reply, completion, patience):
                    for delta in piece.deltas():
                        yield delta
            reason = completion.end(offers_tools=bool(prompt.options.tools))
            guess = Usage(input_tokens=prompt.n_tokens, output_tokens=completion.n_estimated_tokens, estimated=True)
            yield completion.usage or guess
            if prompt.temperature is not None and not self._dialect.temperature:
                dropped = (*dropped, "temperature")
            yield Finished(reason=reason, model=self.name, dropped=dropped)
        except GroundwireError as error:
            error.add_note(f"asked at {self._wire.endpoint.address}")
            raise
        finally:
            patience.close()
            if reply is not None:
                await reply.aclose()

    async def _asked(self, prompt: Prompt, patience: Patience) -> Reply:
        """The first reply that is a success; each round gives up one habit, so there are few."""
        while True:
            dialect = self._dialect
            request = await patience.wait(self._wire.endpoint.request(self._wire.body(prompt, dialect)))
            reply = await patience.wait(net.send(self._transport, request, self._target))
            if self._on_headers:
                self._on_headers(reply.headers)
            if is_success(reply):
                return reply
            body = await self._refusal(reply, patience)
            error = self._wire.error(reply.headers, body)
            plainer = simpler(dialect, reply.status, error)
            if plainer is None:
                wait_s = retry_after_s(reply.headers, body, self._unix_time())
                raise as_error(failure_of(reply.status, error, wait_s), self._target)
            logger.warning("%s does not understand all of the request; from now on: %s", self._target, plainer)
            self._dialect = plainer

    async def _refusal(self, reply: Reply, patience: Patience) -> bytes:
        try:
            return await patience.wait(net.read(reply, self._target, MAX_ERROR_BYTES))
        except DependencyError:
            return b""  # the status says enough
        finally:
            await reply.aclose()

    async def _pieces(self, reply: Reply, completion: Completion[Any], patience: Patience) -> Iterable[Piece]:
        """What the next bytes of the answer say."""
        if "json" in reply.headers.get("content-type", ""):
            body = await patience.wait(net.read(reply, self._target, MAX_BODY_BYTES))
            return (completion.take_body(body),)
        try:
            data = await patience.wait(net.more(reply, self._target))
        except DependencyError:
            if not completion.is_whole:
                raise
            completion.is_done = True  # all that is lost is the usage
            return ()
        return _renewing(completion.feed(data), completion, patience)


def _renewing(pieces: Iterable[Piece], completion: Completion[Any], patience: Patience) -> Iterator[Piece]:
    """The pieces, each of which renews the patience; an answer that is whole needs little more of it."""
    for piece in pieces:
        patience.progressed()
        yield piece
    if completion.is_whole:
        patience.finished()
