"""An answer in the shape of OpenAI's chat completions: one object, or chunks as it is written."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rag.base.answers import Answered, Citation, Recall, SourcesFound
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import Finished, StopReason, TextDelta, Usage
from rag.serve.gateway.notes import Notes, notes_of
from rag.serve.gateway.said import Said, cites
from rag.serve.gateway.talk import TalkEvent

_FINISHES: dict[StopReason, str] = {"insufficient_evidence": "stop"}
_encode = msgspec.json.Encoder().encode


class CachedTokens(Struct, frozen=True):
    """What of the prompt came from the provider's cache."""

    cached_tokens: int


class ReasoningTokens(Struct, frozen=True):
    """What of the answer was thought and not said."""

    reasoning_tokens: int


class ChatUsage(Struct, frozen=True, kw_only=True):
    """The tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class UrlCitation(Struct, frozen=True):
    """A document, and where in the answer its marker stands."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(Struct, frozen=True, tag_field="type", tag="url_citation"):
    """A citation."""

    url_citation: UrlCitation


class _Function(Struct, frozen=True):
    name: str
    arguments: str


class _Call(Struct, frozen=True, tag_field="type", tag="function"):
    id: str
    function: _Function


class _Message(Struct, frozen=True, kw_only=True):
    role: str = "assistant"
    content: str | None
    refusal: None = None
    annotations: Sequence[Annotation]
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[_Call] | UnsetType = UNSET


class _Choice(Struct, frozen=True, kw_only=True):
    index: int = 0
    message: _Message
    logprobs: None = None
    finish_reason: str


class _Completion(Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[_Choice]
    usage: ChatUsage
    groundwire: Notes | UnsetType = UNSET


class Head(Struct, frozen=True):
    """What every part of a completion repeats."""

    id: str
    created: int
    model: str


class _FunctionPiece(Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    arguments: str = ""


class _CallPiece(Struct, frozen=True, kw_only=True, omit_defaults=True):
    index: int
    id: str | None = None
    type: str | None = None
    function: _FunctionPiece


def completion(head: Head, said: Said) -> bytes:
    """The answer as one object."""
    calls = [_Call(call.id, _Function(call.name, call.arguments)) for call in said.calls]
    message = _Message(
        content=said.text or (None if calls else ""),
        annotations=annotations_of(said.text, said.citations),
        reasoning_content=said.reasoning or UNSET,
        tool_calls=calls or UNSET,
    )
    body = _Completion(
        id=head.id,
        created=head.created,
        model=head.model,
        choices=[_Choice(message=message, finish_reason=finish_of(said.finished))],
        usage=usage_of(said.usage),
        groundwire=notes_of(said.finished.dropped, said.degraded, said.cache),
    )
    return _encode(body)


class ChunkWriter:
    """Encodes what is said as chunks. What they all repeat is encoded once."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        told = {"id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model}
        usage = b',"usage":null' if include_usage else b""
        self._opening = b"data: " + _encode(told)[:-1]
        self._before = self._opening + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        self._include_usage = include_usage
        self._usage = Usage(input_tokens=0, output_tokens=0)
        self._annotations: tuple[Annotation, ...] = ()
        self._degraded: tuple[str, ...] = ()
        self._cache: Recall | None = None

    def first(self) -> bytes:
        """The chunk that only says who speaks."""
        return self._chunk(b'{"role":"assistant","content":""}')

    def write(self, event: TalkEvent) -> bytes:
        """The chunks of one event; empty for what is told at the end."""
        match event:
            case TextDelta():
                return self._chunk(b'{"content":' + _encode(event.text) + b"}")
            case ReasoningDelta():
                return self._chunk(b'{"reasoning_content":' + _encode(event.text) + b"}")
            case ToolCallDelta():
                return self._chunk(b'{"tool_calls":[' + _encode(_call_piece(event)) + b"]}")
            case Usage():
                self._usage = event
            case SourcesFound():
                self._cache = event.cache
            case Answered():
                self._annotations = annotations_of(event.answer.text, event.answer.citations)
                self._degraded = event.answer.degraded
            case Finished():
                return self._last(event)
        return b""

    def _chunk(self, delta: bytes) -> bytes:
        return b"%b%b%b" % (self._before, delta, self._after)

    def _last(self, finished: Finished) -> bytes:
        delta = _encode({"annotations": self._annotations}) if self._annotations else b"{}"
        reason = _encode(finish_of(finished))
        notes = notes_of(finished.dropped, self._degraded, self._cache)
        told = b',"groundwire":' + _encode(notes) if notes else b""
        chunk = b'%b%b,"logprobs":null,"finish_reason":%b}]%b}\n\n' % (self._before, delta, reason, told)
        if self._include_usage:
            chunk += b'%b,"choices":[],"usage":%b}\n\n' % (self._opening, _encode(usage_of(self._usage)))
        return chunk + b"data: [DONE]\n\n"


def usage_of(usage: Usage) -> ChatUsage:
    """The tokens as OpenAI counts them: the parts are within the sums."""
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=CachedTokens(usage.cached_tokens),
        completion_tokens_details=ReasoningTokens(usage.reasoning_tokens),
    )


def finish_of(finished: Finished) -> str:
    """Why the answer ended, in OpenAI's words, which know no documents that do not say."""
    return _FINISHES.get(finished.reason, finished.reason)


def annotations_of(text: str, citations: Sequence[Citation]) -> tuple[Annotation, ...]:
    """The citations as OpenAI tells of pages of the web."""
    return tuple(
        Annotation(UrlCitation(cite.start, cite.stop, cite.citation.title, cite.citation.uri))
        for cite in cites(text, citations)
    )


def _call_piece(event: ToolCallDelta) -> _CallPiece:
    if not event.id:
        return _CallPiece(index=event.index, function=_FunctionPiece(arguments=event.arguments))
    function = _FunctionPiece(event.name, event.arguments)
    return _CallPiece(index=event.index, id=event.id, type="function", function=function)
