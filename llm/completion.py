"""Reads one answer off the wire, event by event; knows nothing of the network."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, Literal, NoReturn, Protocol, TypeVar

from msgspec import Struct

from llm.failures import WireError, as_error, failure_of
from llm.usage import estimated_tokens, n_tokens_of
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.errors import BadDependency
from rag.base.types import StopReason, TextDelta, Usage

EventT = TypeVar("EventT")

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Of one answer: 128,000 tokens of the wordiest provider are some 40 MB. Whoever waits for a whole answer holds it."""

Ending = StopReason | Literal["error", "tool"]
"""What a provider's word for the end means. "error" is no end of an answer, and "tool" says that it wanted a tool."""


class Parser(Protocol[EventT]):
    """Turns the bytes of one stream, split anywhere, into events."""

    def feed(self, piece: bytes) -> list[EventT]:
        """The events that `piece` completes, in order."""
        ...

    def finish(self) -> list[EventT]:
        """The events that the end of the stream completes."""
        ...


class Piece(Struct, frozen=True):
    """What one event adds. `is_progress`: the model did something, be it only to think."""

    text: str = ""
    is_progress: bool = False
    reasoning: str = ""
    calls: tuple[ToolCallDelta, ...] = ()

    def deltas(self) -> Iterator[TextDelta | ReasoningDelta | ToolCallDelta]:
        """The same as events; none for a piece of nothing but life cycle."""
        if self.reasoning:
            yield ReasoningDelta(text=self.reasoning)
        if self.text:
            yield TextDelta(text=self.text)
        yield from self.calls

    @property
    def estimated_tokens(self) -> int:
        """About how many tokens it has, for servers that do not say."""
        return sum(map(estimated_tokens, self.deltas()))


class Completion(ABC, Generic[EventT]):
    """The state of one answer: what ended it, what it cost. Errors in the stream are raised as their status asks.

    A provider's own completion says what each of its events means; `usage`, `ending` and `is_done` are set there.
    """

    def __init__(self, target: str, parser: Parser[EventT]) -> None:
        self.usage: Usage | None = None
        self.ending: Ending | None = None
        self.is_done = False
        self.n_calls = 0
        self.n_estimated_tokens = 0
        self._target = target
        self._parser = parser
        self._has_ended = False
        self._n_bytes = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the text has arrived; the usage may still follow."""
        return self.is_done or self.ending is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is awaited."""
        return self.is_done or self._has_ended

    @abstractmethod
    def read(self, event: EventT) -> Piece:
        """The piece in one event of a stream. Raises what an error in it stands for, BadDependency for nonsense."""

    def text_of(self, event: EventT) -> str | None:
        """The text of an event that says nothing else, as nearly all do, at less cost than `read`; None for others."""
        return None

    def read_body(self, body: bytes) -> Piece:
        """The piece that is all of it, from a server that answered with one JSON object instead of a stream."""
        raise BadDependency(f"{self._target} answered with one JSON document instead of a stream")

    def take_body(self, body: bytes) -> Piece:
        """The piece that is all of it, counted."""
        piece = self.read_body(body)
        self.n_estimated_tokens = piece.estimated_tokens
        return piece

    def feed(self, data: bytes | None) -> Iterator[Piece]:
        """What the next bytes of the stream say; None is its end. Texts that follow each other are one piece.

        What came before a failure is given out before it is raised. Raises BadDependency for a stream without an end.
        """
        self._has_ended = data is None
        self._n_bytes += len(data or b"")
        if self._n_bytes > MAX_STREAM_BYTES:
            raise BadDependency(f"{self._target} answered with over {MAX_STREAM_BYTES} bytes")
        texts: list[str] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if self.is_done:
                    break
                text = self.text_of(event)
                if text is None:
                    piece = self.read(event)
                    if piece.reasoning or piece.calls or (piece.is_progress and not piece.text):
                        self.n_estimated_tokens += piece.estimated_tokens
                        yield from self._joined(texts)
                        yield piece
                        continue
                    text = piece.text
                texts.append(text)
        except Exception:
            yield from self._joined(texts)
            raise
        yield from self._joined(texts)

    def _joined(self, texts: list[str]) -> Iterator[Piece]:
        """The texts, which are taken and counted, as one piece: whoever passes it on has less to pass."""
        self.n_estimated_tokens += n_tokens_of(texts)
        text = "".join(texts)
        texts.clear()
        if text:
            yield Piece(text, is_progress=True)

    def end(self, *, offers_tools: bool = False) -> StopReason:
        """Why the answer ended. Raises BadDependency when it did not: a stream that just stops was cut off.

        Whoever called a tool waits for it, whatever the word for that was: not every provider has one.
        """
        if not self.is_whole:
            raise BadDependency(f"{self._target} ended its stream without finishing the answer")
        reason = self.ending or "stop"
        if reason == "tool" or (reason == "stop" and self.n_calls):
            if not offers_tools:
                raise BadDependency(f"{self._target} called a tool, and none was offered")
            if not self.n_calls:
                raise BadDependency(f"{self._target} ended its answer for a tool, and called none")
            return "tool_calls"
        if reason == "error":
            raise BadDependency(f"{self._target} ended its answer with an error")
        return reason

    def fail(self, error: WireError, retry_after_s: float | None = None) -> NoReturn:
        """Raises what an error inside the stream stands for."""
        raise as_error(failure_of(None, error, retry_after_s), self._target)
