"""JSONL: one document in each line."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct, field

from ingest.draft import Draft, filterable
from ingest.outcome import Failure
from rag.base.types import EVERYONE
from rag.govern.access import GRANT


class _Line(Struct, frozen=True):
    """What a line may say; BEIR's `_id` is an id. Any other scalar or list of strings is metadata."""

    text: str
    uri: str | None = None
    id: str | int | None = None
    beir_id: str | int | None = field(name="_id", default=None)
    title: str | None = None
    format: str = "text"
    metadata: dict[str, object] | None = None
    acl: tuple[Annotated[str, Meta(pattern=GRANT)], ...] | None = None
    updated_at: datetime | None = None


_OBJECT = msgspec.json.Decoder(dict[str, object])
_KNOWN = frozenset(each.encode_name for each in msgspec.structs.fields(_Line))


def superseded(stream: BinaryIO, max_line_bytes: int) -> frozenset[int]:
    """The numbers of the lines whose document comes again further down: the last line of a document is the one."""
    last: dict[str, int] = {}
    earlier: set[int] = set()
    for number, item in _numbered(stream, "", max_line_bytes):
        if isinstance(item, Draft):
            if item.uri in last:
                earlier.add(last[item.uri])
            last[item.uri] = number
    return frozenset(earlier)


def read_jsonl(
    stream: BinaryIO,
    origin: str,
    max_line_bytes: int,
    acl: tuple[str, ...] = (EVERYONE,),
    skipped: frozenset[int] = frozenset(),
) -> Iterator[Draft | Failure]:
    """The documents of a stream in order, and a Failure for each line that is none; `acl` is for those without one.

    A document is `uri`, or `ORIGIN#ID`, or `ORIGIN#L12` for line 12. Lines with nothing in them are passed over, and so
    are the `skipped` ones.
    """
    numbered = _numbered(stream, origin, max_line_bytes, acl)
    return (item for number, item in numbered if number not in skipped)


def _numbered(
    stream: BinaryIO, origin: str, max_line_bytes: int, acl: tuple[str, ...] = (EVERYONE,)
) -> Iterator[tuple[int, Draft | Failure]]:
    for number, line in enumerate(_lines(stream, max_line_bytes), start=1):
        if line is None:
            reason = f"line {number} is longer than the {max_line_bytes} bytes that max_line_bytes allows"
            yield number, Failure(uri=f"{origin}#L{number}", reason=reason, source=origin)
        elif line.strip():
            try:
                yield number, _draft(line, origin, number, acl)
            except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
                reason = f"line {number}: {_fault(error)}"
                yield number, Failure(uri=f"{origin}#L{number}", reason=reason, source=origin)


def _draft(line: bytes, origin: str, number: int, acl: tuple[str, ...]) -> Draft:
    record = _OBJECT.decode(line)
    known = msgspec.convert(record, _Line)
    identifier = known.id if known.id is not None else known.beir_id
    extra = {name: value for name, value in record.items() if name not in _KNOWN}
    return Draft(
        uri=known.uri or f"{origin}#{f'L{number}' if identifier is None else identifier}",
        text=known.text,
        title=known.title or "",
        format=known.format,
        acl=acl if known.acl is None else known.acl,
        metadata=filterable(extra | (known.metadata or {})),
        updated_at=known.updated_at,
        source=origin,
    )


def _fault(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return f"it is not valid UTF-8 at byte {error.start}"
    return f"it is not valid JSON: {str(error) or 'nested too deeply'}"


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes | None]:
    """The lines without their ends; None for one that is too long, of which no more than the limit is held."""
    first = True
    while line := stream.readline(max_bytes + 1):
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            first = False
        if len(line) <= max_bytes or line.endswith(b"\n"):
            yield line.rstrip(b"\r\n")
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(max_bytes + 1)
        yield None
