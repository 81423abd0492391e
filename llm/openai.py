"""Answers from any server that speaks OpenAI's chat completions, streamed."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx

from llm.completion import Completion
from llm.config import OpenAIConfig
from llm.dialect import Dialect, request_body, simpler
from llm.failures import as_error, failure_of
from llm.patience import Patience
from llm.sse import SseEvent, SseParser
from llm.wire import estimated_tokens, read_error
from rag.base.deadline import Clock, Deadline
from rag.base.errors import ConfigError, DependencyError
from rag.base.secret import Secret
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from rag.infer import transport as net
from rag.infer.retry_after import retry_after_s

MAX_ERROR_BYTES = 64 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024  # of an answer that is not streamed

logger = logging.getLogger(__name__)


class OpenAIModel:
    """A ChatModel behind `{base_url}/chat/completions`.

    Learns from refusals what the server does not understand (see `Dialect`), asks again at once, and remembers.
    """

    def __init__(
        self,
        config: OpenAIConfig,
        transport: httpx.AsyncBaseTransport,
        *,
        clock: Clock = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.name = config.model
        self._config = config
        self._transport = transport
        self._clock = clock
        self._unix_time = unix_time
        self._target = f"model '{config.model}' at {config.base_url}"
        self._url = httpx.URL(f"{config.base_url.rstrip('/')}/chat/completions")
        self._headers = _headers(config)
        self._dialect = Dialect()

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port. Usage is estimated when the server does not tell it."""
        patience = Patience(self._config, deadline, self._target, self._clock)
        completion = Completion(self._target)
        n_output_tokens = 0
        async with (
            self._opened(prompt, patience) as response,
            aclosing(self._texts(response, completion, patience)) as texts,
        ):
            async for text in texts:
                n_output_tokens += estimated_tokens(text)
                yield TextDelta(text=text)
        reason = completion.end()
        guess = Usage(input_tokens=prompt.n_tokens, output_tokens=n_output_tokens, estimated=True)
        yield completion.usage or guess
        yield Finished(reason=reason, model=self.name)

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
            request = self._request(request_body(prompt, self.name, dialect))
            response = await patience.wait(net.send(self._transport, request, self._target))
            if response.is_success:
                return response
            body = await self._refusal(response, patience)
            error = read_error(body)
            plainer = simpler(dialect, response.status_code, error)
            if plainer is None:
                wait_s = retry_after_s(response.headers, body, self._unix_time())
                raise as_error(failure_of(response.status_code, error, wait_s), self._target)
            logger.warning("%s does not understand all of the request; from now on: %s", self._target, plainer)
            self._dialect = plainer

    def _request(self, body: bytes) -> httpx.Request:
        timeouts = {"timeout": {"connect": self._config.connect_timeout_s}}
        return httpx.Request("POST", self._url, headers=self._headers, content=body, extensions=timeouts)

    async def _refusal(self, response: httpx.Response, patience: Patience) -> bytes:
        try:
            return await patience.wait(net.read(response, self._target, MAX_ERROR_BYTES))
        except DependencyError:
            return b""  # the status says enough
        finally:
            await response.aclose()

    async def _texts(self, response: httpx.Response, completion: Completion, patience: Patience) -> AsyncGenerator[str]:
        if "json" in response.headers.get("content-type", ""):
            yield completion.read_body(await patience.wait(net.read(response, self._target, MAX_BODY_BYTES))).text
            return
        async with aclosing(self._events(response, completion, patience)) as events:
            async for event in events:
                piece = completion.read(event)
                if piece.is_progress:
                    patience.progressed()
                if completion.is_whole:
                    patience.finished()
                if piece.text:
                    yield piece.text

    async def _events(
        self, response: httpx.Response, completion: Completion, patience: Patience
    ) -> AsyncGenerator[SseEvent]:
        parser = SseParser()
        async with aclosing(net.body(response, self._target)) as body:
            while not completion.is_done:
                try:
                    data = await patience.wait(anext(body, None))
                except DependencyError:
                    if completion.is_whole:  # all that is lost is the usage
                        return
                    raise
                for event in parser.finish() if data is None else parser.feed(data):
                    yield event
                if data is None:
                    return


def _headers(config: OpenAIConfig) -> dict[str, str]:
    secrets = dict(config.headers)
    if config.api_key:
        secrets["authorization"] = Secret(f"Bearer {config.api_key.reveal()}")
    for name, secret in secrets.items():
        if not (secret.reveal().isascii() and secret.reveal().isprintable()):
            raise ConfigError(f"the value of the header '{name}' holds a line break or a character outside of ASCII")
    fixed = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
    return fixed | {name.lower(): secret.reveal() for name, secret in secrets.items()}
