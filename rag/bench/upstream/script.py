"""What a simulated provider is told to do with a request, and who tells it."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from rag.base.errors import ConfigError
from rag.bench.upstream.asked import Asked

Fault = Literal[
    "overloaded",
    "rate_limit",
    "quota",
    "bad_key",
    "forbidden",
    "model_missing",
    "context_length",
    "content_policy",
    "invalid_request",
    "timeout",
    "server_error",
]
"""Why a provider refuses, whatever words and status its wire has for that."""

Ending = Literal["clean", "unfinished", "cut", "reset", "silence", "hang_up", "mute"]
"""How a response ends.

clean       as it should
unfinished  the body ends well and the stream's last frames are not in it
cut         the connection closes in the middle of a frame
reset       the connection is reset
silence     nothing more comes, and the connection stays
hang_up     the connection is reset before the head of the response
mute        nothing ever comes
"""

Damage = Literal["html", "wrong_type", "truncated", "empty", "garbled"]
"""What is wrong with a response that is otherwise well: an HTML page in its place, a content type that is not its own,
JSON that breaks off, no body at all, a frame in mid-stream that cannot be read (for Bedrock: whose checksum is wrong).
"""

Finish = Literal["stop", "length", "content_filter", "tool"]


class ToolCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that the answer makes; `arguments` is JSON as the model would write it, well-formed or not."""

    name: str
    arguments: str = "{}"


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one request is answered. The default answers at once and well.

    The answer is `text`, else `n_tokens` words; a word is a token. Before it come `n_reasoning_tokens`, after it
    `tool_calls`. What the request allows at most cuts it. `after_tokens` is where `fault` (with `in_stream`) or an
    `ending` that is not clean strikes, None for the end of the answer. `input_tokens=None` counts the request's bytes.
    `piece_bytes` cuts the body anywhere, with `piece_s` between the pieces. `retry_after` goes out as it is, or as the
    HTTP date so many seconds from now for `date+30` or `date-30`.
    """

    text: str | None = None
    n_tokens: int = 8
    n_reasoning_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    input_tokens: int | None = None
    cached_tokens: int = 0
    first_byte_s: float = 0.0
    first_token_s: float = 0.0
    tokens_per_s: float = 0.0
    piece_bytes: int = 0
    piece_s: float = 0.0
    fault: Fault | None = None
    in_stream: bool = False
    status: int | None = None
    ending: Ending = "clean"
    after_tokens: int | None = None
    damage: Damage | None = None
    retry_after: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


Part = Script | tuple[Script, ...]


class Book(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scripts by the key that asks, else by model; a list is gone through request by request, its last one for good."""

    default: Part = Script()
    keys: Mapping[str, Part] = {}
    models: Mapping[str, Part] = {}


def read_book(data: bytes) -> Book:
    """The book in JSON. Raises ConfigError."""
    try:
        return msgspec.json.decode(data, type=Book)
    except msgspec.DecodeError as fault:
        raise ConfigError(f"these are no scripts: {fault}") from fault


class Prompter:
    """Says which script is next. What is queued goes first, to whoever asks; then the book decides."""

    def __init__(self, book: Book | Script | None = None, queue: Sequence[Script] = ()) -> None:
        self.queue = deque(queue)
        self.follow(book or Book())

    def follow(self, book: Book | Script) -> None:
        """Goes by another book from now on; a script stands for a book of one."""
        self._book = Book(default=book) if isinstance(book, Script) else book
        self._turns: dict[str, int] = {}

    def next(self, asked: Asked) -> Script:
        """The script for this request."""
        if self.queue:
            return self.queue.popleft()
        book = self._book
        for parts, name in ((book.keys, asked.key), (book.models, asked.model)):
            if name in parts:
                return self._turn(f"{parts is book.keys}:{name}", parts[name])
        return self._turn("", book.default)

    def _turn(self, place: str, part: Part) -> Script:
        if isinstance(part, Script):
            return part
        turn = self._turns.get(place, 0)
        self._turns[place] = turn + 1
        return part[min(turn, len(part) - 1)]
