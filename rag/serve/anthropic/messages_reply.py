"""An answer in the shape of Anthropic's Messages: one object in content blocks, or its events as it is written."""

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rag.base.answers import Answered, Citation, Cited
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import Finished, StopReason, TextDelta, Usage
from rag.serve.gateway.notes import Notes, notes_of
from rag.serve.gateway.said import Said
from rag.serve.gateway.talk import TalkEvent

_STOPS: dict[StopReason, str] = {
    "stop": "end_turn",
    "insufficient_evidence": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_encode = msgspec.json.Encoder().encode


class SearchResult(Struct, frozen=True, kw_only=True, tag_field="type", tag="search_result_location"):
    """A citation of a document; `search_result_index` is its marker less one."""

    cited_text: str
    source: str
    title: str
    search_result_index: int
    start_block_index: int = 0
    end_block_index: int = 1


class Text(Struct, frozen=True, tag_field="type", tag="text"):
    """What is said."""

    text: str
    citations: list[SearchResult] | None = None


class Thinking(Struct, frozen=True, tag_field="type", tag="thinking"):
    """What is thought aloud. There is no signature: nothing of it can be sent back."""

    thinking: str
    signature: str = ""


class ToolUse(Struct, frozen=True, tag_field="type", tag="tool_use"):
    """The call of a tool."""

    id: str
    name: str
    input: Raw


class MessageUsage(Struct, frozen=True, kw_only=True):
    """Tokens as Anthropic counts them: what a cache held is not within `input_tokens`."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class _Message(Struct, frozen=True, kw_only=True):
    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[Text | Thinking | ToolUse]
    stop_reason: str | None = None
    stop_sequence: None = None
    usage: MessageUsage
    groundwire: Notes | UnsetType = UNSET


class _Stop(Struct, frozen=True):
    stop_reason: str
    stop_sequence: None = None


class _End(Struct, frozen=True, kw_only=True):
    type: str = "message_delta"
    delta: _Stop
    usage: MessageUsage
    groundwire: Notes | UnsetType = UNSET


class Counted(Struct, frozen=True):
    """The tokens that a model would read."""

    input_tokens: int


def counted(n_tokens: int) -> bytes:
    """The reply that says how many there are."""
    return _encode(Counted(n_tokens))


def message(message_id: str, model: str, said: Said) -> bytes:
    """The answer as one object."""
    content: list[Text | Thinking | ToolUse] = [Thinking(said.reasoning)] if said.reasoning else []
    if said.text:
        content.append(Text(said.text, [search_result(citation) for citation in said.citations] or None))
    content += [ToolUse(call.id, call.name, _input(call.arguments)) for call in said.calls]
    return _encode(
        _Message(
            id=message_id,
            model=model,
            content=content,
            stop_reason=_STOPS[said.finished.reason],
            usage=usage_of(said.usage),
            groundwire=notes_of(said.finished.dropped, said.degraded),
        )
    )


class EventWriter:
    """Encodes what is said as the events of a message. One block is open at a time."""

    def __init__(self, message_id: str, model: str, n_tokens: int) -> None:
        usage = MessageUsage(
            input_tokens=n_tokens, cache_creation_input_tokens=0, cache_read_input_tokens=0, output_tokens=0
        )
        self._opening = _Message(id=message_id, model=model, content=[], usage=usage)
        self._open: Literal["", "text", "thinking", "tool_use"] = ""
        self._n_blocks = 0
        self._blocks: dict[int, int] = {}  # the block of each call
        self._usage = Usage(input_tokens=0, output_tokens=0)
        self._degraded: tuple[str, ...] = ()

    def first(self) -> bytes:
        """The event that opens the message."""
        return _event(b"message_start", b'{"type":"message_start","message":%b}' % _encode(self._opening))

    def write(self, event: TalkEvent) -> bytes:
        """The events of one event; empty for what is told at the end."""
        match event:
            case TextDelta():
                return self._in("text", _encode(Text(""))) + self._delta(b'"text_delta","text":', event.text)
            case ReasoningDelta():
                opened = self._in("thinking", _encode(Thinking("")))
                return opened + self._delta(b'"thinking_delta","thinking":', event.text)
            case ToolCallDelta():
                return self._call(event)
            case Cited():
                opened = self._in("text", _encode(Text("")))
                return opened + self._delta(b'"citations_delta","citation":', search_result(event.citation))
            case Usage():
                self._usage = event
            case Answered():
                self._degraded = event.answer.degraded
            case Finished():
                return self._last(event)
        return b""

    def _in(self, kind: Literal["text", "thinking"], block: bytes) -> bytes:
        """Opens a block of that kind unless it is the open one."""
        return b"" if self._open == kind else self._opened(kind, block)

    def _opened(self, kind: Literal["text", "thinking", "tool_use"], block: bytes) -> bytes:
        closed = self._closed()
        self._open = kind
        self._n_blocks += 1
        body = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (self._n_blocks - 1, block)
        return closed + _event(b"content_block_start", body)

    def _closed(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % (self._n_blocks - 1))

    def _delta(self, kind: bytes, value: object, block: int | None = None) -> bytes:
        index = self._n_blocks - 1 if block is None else block
        body = b'{"type":"content_block_delta","index":%d,"delta":{"type":%b%b}}' % (index, kind, _encode(value))
        return _event(b"content_block_delta", body)

    def _call(self, event: ToolCallDelta) -> bytes:
        opened = b""
        if event.index not in self._blocks:
            opened = self._opened("tool_use", _encode(ToolUse(event.id, event.name, Raw(b"{}"))))
            self._blocks[event.index] = self._n_blocks - 1
        if not event.arguments:
            return opened
        return opened + self._delta(b'"input_json_delta","partial_json":', event.arguments, self._blocks[event.index])

    def _last(self, finished: Finished) -> bytes:
        end = _End(
            delta=_Stop(_STOPS[finished.reason]),
            usage=usage_of(self._usage),
            groundwire=notes_of(finished.dropped, self._degraded),
        )
        return self._closed() + _event(b"message_delta", _encode(end)) + _STOP


def usage_of(usage: Usage) -> MessageUsage:
    """The tokens as Anthropic counts them."""
    return MessageUsage(
        input_tokens=max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        cache_creation_input_tokens=usage.cache_write_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
    )


def search_result(citation: Citation) -> SearchResult:
    """A citation as Anthropic has those of search results."""
    return SearchResult(
        cited_text=citation.quote,
        source=citation.uri,
        title=citation.title,
        search_result_index=citation.marker - 1,
    )


def _input(arguments: str) -> Raw:
    """The arguments of a call as JSON; what the model wrote and is none goes as the one text that it is."""
    try:
        msgspec.json.decode(arguments, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Raw(_encode({"arguments": arguments}))
    return Raw(arguments.encode())


def _event(name: bytes, body: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, body)


_STOP = _event(b"message_stop", b'{"type":"message_stop"}')
