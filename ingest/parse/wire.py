"""What a parser process is asked and what it answers: msgpack in frames that begin with their length."""

import struct
from typing import Final

import msgspec
from msgspec import Struct

from ingest.parse.parsed import Parsed

LENGTH: Final = struct.Struct(">I")
"""The first bytes of a frame: how many follow."""

OUT_OF_MEMORY: Final = "parsing it takes more memory than parse_memory_bytes allows"
"""The reason that a process gives which reached its limit, or that is given for it."""


class Request(Struct, frozen=True, kw_only=True):
    """Parse the file at `path`, or these bytes; `name` says of what type they are. A path may be no UTF-8."""

    name: str
    path: bytes | None = None
    data: bytes | None = None
    max_bytes: int
    max_chars: int
    timeout_s: float


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """It has been parsed."""

    parsed: Parsed


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """It cannot be parsed; `transient`: it may work later."""

    reason: str
    transient: bool = False


Reply = Done | Refused


def frame(message: Request | Reply) -> bytes:
    """A message as it travels."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body
