"""OpenAI's chat completions: what is asked, and how the answer of all who imitate it is read."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from llm.chat_completions import ChatRequest, Chunk, Delta, Message, StreamOptions, ending, read_chunk, read_error
from llm.completion import Completion, Piece
from llm.config import OpenAIConfig
from llm.dialect import Dialect
from llm.endpoint import Endpoint, bearer
from llm.failures import WireError
from llm.sse import SseEvent, SseParser
from rag.base.types import Prompt, Usage

_DONE = b"[DONE]"


class OpenAIWire:
    """The wire behind `{base_url}/chat/completions`."""

    def __init__(self, config: OpenAIConfig) -> None:
        self.config = config
        query = f"?api-version={config.api_version}" if config.api_version else ""
        key = bearer(config.api_key)
        if config.api_key and config.api_key_header != "authorization":
            key = {config.api_key_header: config.api_key}
        self.endpoint = Endpoint(config, f"{config.base_url.rstrip('/')}/chat/completions{query}", key)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        limit = prompt.max_tokens
        request = ChatRequest(
            model=self.config.model,
            messages=[Message(turn.role, turn.content) for turn in prompt.messages],
            stream_options=StreamOptions() if dialect.stream_options else UNSET,
            max_tokens=UNSET if dialect.max_completion_tokens else limit,
            max_completion_tokens=limit if dialect.max_completion_tokens else UNSET,
            temperature=prompt.temperature if dialect.temperature else UNSET,
        )
        return msgspec.json.encode(request)

    def completion(self, target: str) -> "OpenAICompletion":
        """See `Wire`."""
        return OpenAICompletion(target, SseParser())

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """See `Wire`."""
        return read_error(body)


class OpenAICompletion(Completion[SseEvent]):
    """One answer in chunks, ended by `[DONE]` or by a finish reason."""

    def read(self, event: SseEvent) -> Piece:
        """See `Completion`."""
        if event.data.strip() == _DONE:
            self.is_done = True
            return Piece()
        chunk = read_chunk(event.data)
        if event.name == "error" and chunk.failure is None:
            self.fail(WireError(message=chunk.message, type=chunk.type, code=chunk.code))
        return self._take(chunk)

    def read_body(self, body: bytes) -> Piece:
        """See `Completion`."""
        piece = self._take(read_chunk(body))
        self.is_done = True
        return piece

    def _take(self, chunk: Chunk) -> Piece:
        if chunk.failure is not None:
            self.fail(chunk.failure)
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.usage = Usage(input_tokens=chunk.usage.prompt_tokens or 0, output_tokens=chunk.usage.completion_tokens)
        if not chunk.choices:
            return Piece()
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.ending = ending(choice.finish_reason)
        delta = choice.delta or choice.message or Delta()
        return Piece(delta.text, delta.shows_work)
