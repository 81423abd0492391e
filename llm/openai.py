"""OpenAI's chat completions: what is asked, and how the answer of all who imitate it is read."""

from collections.abc import Mapping

import msgspec

from llm.abilities import Ability
from llm.chat_completions import Call, Chunk, Delta, ending, read_chunk, read_error, text_chunk
from llm.chat_request import request_body
from llm.completion import Completion, Piece
from llm.config import OpenAIConfig
from llm.dialect import Dialect
from llm.endpoint import Endpoint, bearer
from llm.failures import WireError
from llm.sse import SseEvent, SseParser
from llm.turns import new_call_id
from rag.base.chat import ToolCallDelta
from rag.base.types import Prompt

_DONE = b"[DONE]"


class OpenAIWire:
    """The wire behind `{base_url}/chat/completions`."""

    lacks: frozenset[Ability] = frozenset({"top_k"})

    def __init__(self, config: OpenAIConfig) -> None:
        self.config = config
        query = f"?api-version={config.api_version}" if config.api_version else ""
        key = bearer(config.api_key)
        if config.api_key and config.api_key_header != "authorization":
            key = {config.api_key_header: config.api_key}
        self.endpoint = Endpoint(config, f"{config.base_url.rstrip('/')}/chat/completions{query}", key)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        return request_body(self.config.model, prompt, dialect)

    def completion(self, target: str) -> "OpenAICompletion":
        """See `Wire`."""
        return OpenAICompletion(target, SseParser())

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """See `Wire`."""
        return read_error(body)


class OpenAICompletion(Completion[SseEvent]):
    """One answer in chunks, ended by `[DONE]` or by a finish reason."""

    def text_of(self, event: SseEvent) -> str | None:
        """See `Completion`."""
        if event.name != "message":
            return None
        try:
            return text_chunk(event.data).choices[0].delta.content
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

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
        if chunk.usage is not None:
            self.usage = chunk.usage.counted() or self.usage
        if not chunk.choices:
            return Piece()
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.ending = ending(choice.finish_reason)
        delta = choice.delta or choice.message or Delta()
        calls = tuple(self._call(call) for call in delta.tool_calls) if delta.tool_calls else ()
        return Piece(delta.text, delta.shows_work, delta.thought, calls)

    def _call(self, call: Call) -> ToolCallDelta:
        """Without an index, an id begins the next call."""
        index = call.index if call.index is not None else max(0, self.n_calls - (0 if call.id else 1))
        is_new = index >= self.n_calls
        self.n_calls = max(self.n_calls, index + 1)
        arguments = call.function.arguments
        if arguments is not None and not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        return ToolCallDelta(
            index=index,
            id=(call.id or new_call_id()) if is_new else "",
            name=(call.function.name or "") if is_new else "",
            arguments=arguments or "",
        )
