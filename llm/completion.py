"""Reads one completion off the wire, event by event; knows nothing of the network."""

from msgspec import Struct

from llm.failures import as_error, failure_of
from llm.sse import SseEvent
from llm.wire import Chunk, Delta, WireError, read_chunk, stop_reason
from rag.base.errors import BadDependency
from rag.base.types import StopReason, Usage

_DONE = b"[DONE]"


class Piece(Struct, frozen=True):
    """What one event adds. `is_progress`: the model did something, be it only to think."""

    text: str = ""
    is_progress: bool = False


class Completion:
    """The state of one answer: what ended it, what it cost. Errors in the stream are raised as their status asks."""

    def __init__(self, target: str) -> None:
        self.usage: Usage | None = None
        self.is_done = False
        self._target = target
        self._finish_reason: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of the text has arrived; the usage may still follow."""
        return self.is_done or self._finish_reason is not None

    def read(self, event: SseEvent) -> Piece:
        """The piece in one event of a stream. Raises what an error in it stands for, BadDependency for nonsense."""
        if event.data.strip() == _DONE:
            self.is_done = True
            return Piece()
        chunk = read_chunk(event.data)
        if event.name == "error" and chunk.failure is None:
            self._fail(WireError(message=chunk.message, type=chunk.type, code=chunk.code))
        return self._take(chunk)

    def read_body(self, body: bytes) -> Piece:
        """The piece that is all of it, from a server that answered with one JSON object instead of a stream."""
        piece = self._take(read_chunk(body))
        self.is_done = True
        return piece

    def end(self) -> StopReason:
        """Why the answer ended. Raises BadDependency when it did not: a stream that just stops was cut off."""
        if not self.is_whole:
            raise BadDependency(f"{self._target} ended its stream without finishing the answer")
        reason = stop_reason(self._finish_reason or "stop")
        if reason == "tool":
            raise BadDependency(f"{self._target} called a tool, and none was offered")
        if reason == "error":
            raise BadDependency(f"{self._target} ended its answer with an error")
        return reason

    def _take(self, chunk: Chunk) -> Piece:
        if chunk.failure is not None:
            self._fail(chunk.failure)
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.usage = Usage(input_tokens=chunk.usage.prompt_tokens or 0, output_tokens=chunk.usage.completion_tokens)
        if not chunk.choices:
            return Piece()
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta or choice.message or Delta()
        return Piece(delta.text, delta.shows_work)

    def _fail(self, error: WireError) -> None:
        raise as_error(failure_of(None, error), self._target)
