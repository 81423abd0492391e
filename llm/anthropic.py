"""Anthropic's Messages API: what is asked, and how the events of an answer are read.

The trap in its usage: `input_tokens` leaves out what was read from the prompt cache and what was written to it, while
OpenAI's `prompt_tokens` and Gemini's `promptTokenCount` hold all of the prompt. A `Usage` here always does, so the
three are summed.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from llm.abilities import Ability
from llm.call_blocks import CallBlocks
from llm.completion import Completion, Ending, Piece
from llm.config import AnthropicConfig
from llm.dialect import Dialect
from llm.endpoint import Endpoint
from llm.failures import WireError
from llm.message_request import message_request
from llm.sse import SseEvent, SseParser
from rag.base.errors import BadDependency
from rag.base.secret import Secret
from rag.base.types import Prompt, Usage

VERSION = "2023-06-01"

_KNOWN = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "message",  # an event without a name, as gateways send them
    }
)
_ENDS: dict[str, Ending] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "tool",
    "pause_turn": "tool",  # a tool of the server's needs another round
}


class _Details(Struct, frozen=True):
    error_code: str | None = None


class _Error(Struct, frozen=True):
    type: str | None = None
    message: str | None = None
    details: _Details | None = None


class _OutputDetails(Struct, frozen=True):
    thinking_tokens: int | None = None


class _Usage(Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Started(Struct, frozen=True):
    usage: _Usage | None = None


class _Content(Struct, frozen=True):
    """A block at its start or a change to one; which of the fields there are depends on the kind of block."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(Struct, frozen=True):
    type: str
    index: int = 0
    message: _Started | None = None
    content_block: _Content | None = None
    delta: _Content | None = None
    usage: _Usage | None = None
    error: _Error | None = None


class _Refusal(Struct, frozen=True):
    error: _Error | None = None


_events = msgspec.json.Decoder(_Event)
_refusals = msgspec.json.Decoder(_Refusal)


class AnthropicWire:
    """The wire behind `{base_url}/messages`."""

    lacks: frozenset[Ability] = frozenset(
        {"image_detail", "json_object", "seed", "presence_penalty", "frequency_penalty"}
    )

    def __init__(self, config: AnthropicConfig) -> None:
        self.config = config
        headers = {"anthropic-version": Secret(VERSION)} | ({"x-api-key": config.api_key} if config.api_key else {})
        self.endpoint = Endpoint(config, f"{config.base_url.rstrip('/')}/messages", headers)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        return message_request(self.config.model, prompt, dialect)

    def completion(self, target: str) -> "AnthropicCompletion":
        """See `Wire`."""
        return AnthropicCompletion(target, SseParser())

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """See `Wire`."""
        try:
            return _wire_error(_refusals.decode(body).error or _Error())
        except (msgspec.DecodeError, UnicodeDecodeError):
            return WireError()


class AnthropicCompletion(Completion[SseEvent]):
    """One answer in content blocks, ended by `message_stop`."""

    def __init__(self, target: str, parser: SseParser) -> None:
        super().__init__(target, parser)
        self._counted = _Usage()
        self._blocks = CallBlocks()

    def read(self, event: SseEvent) -> Piece:
        """See `Completion`. The kinds of events grow with the API: those that nobody knows are not even decoded."""
        if event.name not in _KNOWN:
            return Piece()
        try:
            told = _events.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadDependency(f"{self._target} sent something that is not an event of a message") from error
        match told.type:
            case "error":
                self.fail(_wire_error(told.error or _Error()))
            case "message_start" if told.message:
                self._count(told.message.usage)
            case "message_delta":
                self._count(told.usage)
                if told.delta and told.delta.stop_reason:
                    self.ending = _ENDS.get(told.delta.stop_reason, "stop")
            case "message_stop":
                self.is_done = True
            case "content_block_start" | "content_block_delta":
                return self._piece(told.index, told.delta or told.content_block or _Content())
            case "content_block_stop":
                calls = self._blocks.closed(told.index)
                return Piece(is_progress=bool(calls), calls=calls)
        return Piece()

    def _piece(self, block: int, content: _Content) -> Piece:
        """A block that only opens says nothing: the model has begun when something is in it."""
        if content.type == "tool_use":
            calls = self._blocks.opened(block, content.id, content.name)
            self.n_calls = len(self._blocks)
        else:
            calls = self._blocks.grown(block, content.partial_json)
        shows_work = content.text or content.thinking or content.signature or content.partial_json or calls
        return Piece(content.text or "", bool(shows_work), content.thinking or "", calls)

    def _count(self, told: _Usage | None) -> None:
        """Takes over what is told: the counts are cumulative, and those that did not change may be left out."""
        if told is None:
            return
        for field in _Usage.__struct_fields__:
            value = getattr(told, field)
            if value is not None:
                setattr(self._counted, field, value)
        counted = self._counted
        if counted.output_tokens is None:
            return
        read, written = counted.cache_read_input_tokens or 0, counted.cache_creation_input_tokens or 0
        thought = counted.output_tokens_details.thinking_tokens if counted.output_tokens_details else None
        self.usage = Usage(
            input_tokens=(counted.input_tokens or 0) + read + written,
            output_tokens=counted.output_tokens,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=thought or 0,
        )


def _wire_error(error: _Error) -> WireError:
    """The finest word there is: `enforced_spend_limit_reached` is no rate limit, though its type says so."""
    code = error.details.error_code if error.details else None
    return WireError(message=error.message, type=error.type, code=code)
