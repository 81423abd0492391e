"""Amazon Bedrock's ConverseStream: what is asked, and how the messages of an answer are read.

The usage follows the end of the answer, in a message of its own. Its `inputTokens` leave out what was read from the
prompt cache and what was written to it, as Anthropic's do; a `Usage` here holds all of the prompt, so the three are
summed. An exception in the stream counts like the status that it has outside of one.
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec import Struct

from llm.abilities import Ability
from llm.call_blocks import CallBlocks
from llm.completion import Completion, Ending, Piece
from llm.config import BedrockConfig
from llm.converse_request import converse_request
from llm.dialect import Dialect
from llm.endpoint import Endpoint, Sign, bearer
from llm.eventstream import EventStreamParser, Message
from llm.failures import WireError
from rag.base.errors import BadDependency
from rag.base.types import Prompt, Usage

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_ENDS: dict[str, Ending] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "tool_use": "tool",
    "malformed_tool_use": "tool",
    "malformed_model_output": "error",
}


class _ToolStart(Struct, frozen=True, rename="camel"):
    tool_use_id: str = ""
    name: str = ""


class _Start(Struct, frozen=True, rename="camel"):
    tool_use: _ToolStart | None = None


class _ToolDelta(Struct, frozen=True):
    input: str = ""


class _Reasoning(Struct, frozen=True):
    text: str | None = None


class _Delta(Struct, frozen=True, rename="camel"):
    text: str | None = None
    reasoning_content: _Reasoning | None = None
    tool_use: _ToolDelta | None = None


class _Counts(Struct, frozen=True, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0


class _Event(Struct, frozen=True, rename="camel"):
    """The payload of any message; which of the fields there are depends on its type."""

    content_block_index: int = 0
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    usage: _Counts | None = None


class _Refusal(Struct, frozen=True):
    message: str | None = None


_KNOWN = frozenset({"contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"})
_events = msgspec.json.Decoder(_Event)
_refusals = msgspec.json.Decoder(_Refusal)


class BedrockWire:
    """The wire behind `/model/{model}/converse-stream`. Without a key, `sign` says who asks."""

    lacks: frozenset[Ability] = frozenset(
        {
            "tool_choice_none",
            "parallel_tool_calls",
            "image_urls",
            "image_detail",
            "json_object",
            "top_k",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "effort",
        }
    )

    def __init__(self, config: BedrockConfig, sign: Sign | None = None) -> None:
        self.config = config
        base_url = config.base_url or f"https://bedrock-runtime.{config.region}.amazonaws.com"
        # A colon stays one: the connection would send it so in any case, and the signature is of what is sent.
        path = f"/model/{quote(config.model, safe=':')}/converse-stream"
        key = bearer(config.api_key)
        self.endpoint = Endpoint(config, base_url.rstrip("/") + path, key, accept=CONTENT_TYPE, sign=sign)

    def body(self, prompt: Prompt, dialect: Dialect) -> bytes:
        """See `Wire`."""
        return converse_request(prompt, dialect)

    def completion(self, target: str) -> "BedrockCompletion":
        """See `Wire`."""
        return BedrockCompletion(target, EventStreamParser())

    def error(self, headers: Mapping[str, str], body: bytes) -> WireError:
        """See `Wire`. The class of the error is in a header, with its namespace after a colon."""
        return _wire_error(headers.get("x-amzn-errortype", "").partition(":")[0], body)


class BedrockCompletion(Completion[Message]):
    """One answer in content blocks, ended by `messageStop` and accounted for by `metadata`."""

    def __init__(self, target: str, parser: EventStreamParser) -> None:
        super().__init__(target, parser)
        self._blocks = CallBlocks()

    def read(self, event: Message) -> Piece:
        """See `Completion`. The kinds of messages grow with the API: those that nobody knows are not even decoded."""
        kind = event.headers.get(":message-type", "event")
        if kind == "exception":
            self.fail(_wire_error(event.headers.get(":exception-type", ""), event.payload))
        if kind == "error":
            self.fail(WireError(code=event.headers.get(":error-code"), message=event.headers.get(":error-message")))
        event_type = event.headers.get(":event-type")
        if event_type not in _KNOWN:
            return Piece()
        try:
            told = _events.decode(event.payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadDependency(f"{self._target} sent something that is not an event of a conversation") from error
        if event_type == "contentBlockStop":
            calls = self._blocks.closed(told.content_block_index)
            return Piece(is_progress=bool(calls), calls=calls)
        return self._take(told)

    def _take(self, event: _Event) -> Piece:
        if event.stop_reason:
            self.ending = _ENDS.get(event.stop_reason, "stop")
        if event.usage:
            self.usage = _usage(event.usage)
            self.is_done = self.is_whole
        if event.start and event.start.tool_use:
            calls = self._blocks.opened(
                event.content_block_index, event.start.tool_use.tool_use_id, event.start.tool_use.name
            )
            self.n_calls = len(self._blocks)
            return Piece(is_progress=True, calls=calls)
        delta = event.delta or _Delta()
        calls = self._blocks.grown(event.content_block_index, delta.tool_use.input if delta.tool_use else None)
        thought = delta.reasoning_content.text if delta.reasoning_content else None
        shows_work = delta.text or delta.reasoning_content or delta.tool_use
        return Piece(delta.text or "", bool(shows_work), thought or "", calls)


def _usage(counts: _Counts) -> Usage:
    read, written = counts.cache_read_input_tokens, counts.cache_write_input_tokens
    return Usage(
        input_tokens=counts.input_tokens + read + written,
        output_tokens=counts.output_tokens,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def _wire_error(kind: str, body: bytes) -> WireError:
    try:
        return WireError(code=kind or None, message=_refusals.decode(body).message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return WireError(code=kind or None)
