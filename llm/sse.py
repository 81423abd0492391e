"""Server-sent events from bytes: incremental, and free of any input or output of its own.

Follows the parsing rules of the HTML standard (section 9.2.6), with two differences: `id` and `retry` are ignored,
because nobody reconnects to a half-written answer, and `finish` hands out the last event even when the blank line after
it is missing, because servers that close right after `data: [DONE]` exist.
"""

from typing import NoReturn

from msgspec import Struct

from rag.base.errors import BadDependency

MAX_EVENT_BYTES = 4 * 1024 * 1024  # far above any piece of an answer, far below what would hurt this process

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = (b"\n", b"\r")
_BLANK = b"\n\n"
_DATA = b"data: "


class SseEvent(Struct, frozen=True):
    """One event. `name` is "message" unless the server said otherwise; `data` is its lines joined by a line feed."""

    name: str
    data: bytes


class SseParser:
    """Turns bytes, split anywhere, into events. One parser reads one stream."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._after_return = False  # the last byte was CR: an LF that follows belongs to it
        self._line = bytearray()  # the line whose end has not arrived
        self._name = ""
        self._data: list[bytes] = []
        self._n_data_bytes = 0

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events that `piece` completes, in order. Raises BadDependency when an event exceeds the bound."""
        if self._at_start and piece and not self._line and not piece.startswith(_BOM[:1]):
            self._at_start = False
        if self._is_between and (lone := _lone_data(piece)):
            if max(map(len, lone)) > self._max_event_bytes - len(_DATA):
                self._refuse()
            return [SseEvent("message", data) for data in lone]
        if not piece:
            return []
        if self._after_return:
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r")
        events: list[SseEvent] = []
        for line in piece.splitlines(keepends=True):
            if self._n_data_bytes + len(self._line) + len(line) > self._max_event_bytes:
                self._refuse()
            if not line.endswith(_LINE_ENDS):
                self._line += line
                continue
            if self._line:
                line = bytes(self._line) + line  # noqa: PLW2901 - the rest of the line that began before
                self._line.clear()
            events += self._end_line(line)
        return events

    def finish(self) -> list[SseEvent]:
        """What the stream held when it ended without a blank line: at most one event."""
        line = bytes(self._line)
        self._line.clear()
        return self._end_line(line) + self._dispatch()

    @property
    def _is_between(self) -> bool:
        """Whether nothing of an event is here."""
        return not (self._at_start or self._after_return or self._line or self._data or self._name)

    def _refuse(self) -> NoReturn:
        raise BadDependency(f"the model server sent an event of over {self._max_event_bytes} bytes")

    def _end_line(self, line: bytes) -> list[SseEvent]:
        line = line.rstrip(b"\r\n")
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")  # a comment has an empty field name, which nothing below knows
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._n_data_bytes += len(value) + 1
        elif field == b"event":
            self._name = value.decode(errors="replace")
        return []

    def _dispatch(self) -> list[SseEvent]:
        events = [SseEvent(name=self._name or "message", data=b"\n".join(self._data))] if self._data else []
        self._name, self._data, self._n_data_bytes = "", [], 0
        return events


def _lone_data(piece: bytes) -> list[bytes]:
    """The data of whole events of one such line each, as nearly all are: at a fifth of the cost. Else nothing."""
    if not (piece.startswith(_DATA) and piece.endswith(_BLANK)):
        return []
    found = piece[len(_DATA) : -len(_BLANK)].split(_BLANK + _DATA)
    return found if b"\r" not in piece and piece.count(b"\n") == len(_BLANK) * len(found) else []
