"""AWS's event stream, from bytes to messages: incremental, and free of any input or output of its own.

The format is `application/vnd.amazon.eventstream`, all numbers big-endian:

    total length u32 | headers length u32 | CRC-32 of these 8 bytes | headers | payload | CRC-32 of all before it

A header is: name length u8, name, type u8, value. The first CRC is checked before the lengths are believed, so a
damaged length cannot make this process wait for gigabytes.
"""

import struct
from collections.abc import Mapping
from zlib import crc32

from msgspec import Struct

from rag.base.errors import BadDependency

MAX_HEADERS_BYTES = 128 * 1024
MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # far above any piece of an answer, far below what would hurt this process

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD_BYTES = _PRELUDE.size + _CRC.size
_STRING = 7
_TYPES_WITH_LENGTH = (6, _STRING)  # bytes and string, after a u16
_VALUE_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # true, false, numbers, timestamp, UUID


class Message(Struct, frozen=True, kw_only=True):
    """One message: the headers that are strings, by name, and the payload."""

    headers: Mapping[str, str]
    payload: bytes


class EventStreamParser:
    """Turns bytes, split anywhere, into messages. One parser reads one stream."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that `piece` completes, in order. Raises BadDependency for damage and for what is too long."""
        self._buffer += piece
        messages: list[Message] = []
        start = 0
        while (stop := self._stop(start)) is not None:
            messages.append(_message(bytes(self._buffer[start:stop])))
            start = stop
        del self._buffer[:start]
        return messages

    def finish(self) -> list[Message]:
        """Nothing: a message that has begun when the stream ends is lost."""
        self._buffer.clear()
        return []

    def _stop(self, start: int) -> int | None:
        """Where the message that begins at `start` ends, once it is there in full."""
        if len(self._buffer) < start + _PRELUDE.size:
            return None
        n_bytes, n_header_bytes, check = _PRELUDE.unpack_from(self._buffer, start)
        if crc32(self._buffer[start : start + 8]) != check:
            raise BadDependency("the model server sent an event stream whose lengths do not match their checksum")
        if n_bytes > self._max_message_bytes or n_header_bytes > MAX_HEADERS_BYTES:
            raise BadDependency(f"the model server sent a message of {n_bytes} bytes, {n_header_bytes} of headers")
        if n_bytes < _OVERHEAD_BYTES + n_header_bytes:
            raise BadDependency(f"the model server sent a message of {n_bytes} bytes that cannot hold its headers")
        return start + n_bytes if len(self._buffer) >= start + n_bytes else None


def _message(frame: bytes) -> Message:
    n_header_bytes = _PRELUDE.unpack_from(frame)[1]
    if crc32(frame[: -_CRC.size]) != _CRC.unpack_from(frame, len(frame) - _CRC.size)[0]:
        raise BadDependency("the model server sent a message that does not match its checksum")
    payload_start = _PRELUDE.size + n_header_bytes
    try:
        headers = _headers(frame[_PRELUDE.size : payload_start])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadDependency("the model server sent a message with malformed headers") from error
    return Message(headers=headers, payload=frame[payload_start : -_CRC.size])


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are strings. Raises one of several errors for what is malformed."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        value_at = at + 2 + data[at]
        name, kind = data[at + 1 : value_at - 1].decode(), data[value_at - 1]
        if kind in _TYPES_WITH_LENGTH:
            length = struct.unpack_from(">H", data, value_at)[0]
            value_at += 2
        elif kind in _VALUE_BYTES:
            length = _VALUE_BYTES[kind]
        else:
            raise IndexError(kind)
        at = value_at + length
        if at > len(data):
            raise IndexError(at)
        if kind == _STRING:
            headers[name] = data[value_at:at].decode()
    return headers
