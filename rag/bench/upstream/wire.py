"""What a wire must be able to say: an answer in frames, an answer whole, and why there is none."""

from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from rag.bench.upstream.asked import Asked
from rag.bench.upstream.script import Fault, Finish

BlockKind = Literal["reasoning", "text", "tool"]


class Block(Struct, frozen=True, kw_only=True):
    """A part of an answer, in tokens; `id` and `name` are those of a tool call, whose pieces are its arguments."""

    kind: BlockKind
    pieces: tuple[str, ...]
    id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    @property
    def parsed(self) -> Any:
        """The arguments of a tool call as a value; an empty object where there are none or they are no JSON."""
        try:
            return msgspec.json.decode(self.text)
        except msgspec.DecodeError:
            return {}


class Counts(Struct, frozen=True, kw_only=True):
    """The tokens of a request: `input` holds `cached`, `output` holds `reasoning`."""

    input: int
    cached: int
    output: int
    reasoning: int


class Answer(Struct, frozen=True, kw_only=True):
    """What a model says."""

    asked: Asked
    blocks: tuple[Block, ...]
    finish: Finish
    counts: Counts


class Refusal(Struct, frozen=True, kw_only=True):
    """A response that is no success."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Wire(Protocol):
    """How one provider words things. Knows neither time nor network."""

    def content_type(self, asked: Asked) -> str:
        """That of an answer."""
        ...

    def opening(self, answer: Answer) -> bytes:
        """The frames before the first token: they say that there will be an answer, and nothing of it."""
        ...

    def open_block(self, answer: Answer, index: int) -> bytes:
        """The frames before the first token of a block."""
        ...

    def piece(self, answer: Answer, index: int, text: str) -> bytes:
        """The frame of one token of a block."""
        ...

    def close_block(self, answer: Answer, index: int) -> bytes:
        """The frames after the last token of a block."""
        ...

    def closing(self, answer: Answer) -> bytes:
        """The frames after the last block: why it ended, what it cost, and that it is all."""
        ...

    def whole(self, answer: Answer) -> bytes:
        """The answer as one body."""
        ...

    def refusal(self, asked: Asked, fault: Fault) -> Refusal:
        """The response that refuses."""
        ...

    def failure(self, asked: Asked, fault: Fault) -> bytes:
        """The frame that ends a stream with an error."""
        ...

    def garbage(self) -> bytes:
        """A frame that cannot be read."""
        ...


def encoded(value: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


def event(value: Any, name: str = "") -> bytes:
    """A server-sent event."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + encoded(value) + b"\n\n"
