"""The request log for others to read: every record with the feedback on it, oldest first."""

from collections.abc import AsyncIterator
from functools import partial
from typing import BinaryIO, Literal, Protocol

import msgspec
from msgspec.structs import asdict

from rag.base.errors import ConfigError
from rag.records import feedback, requests
from rag.records.connection import Connection
from rag.records.database import Database
from rag.records.feedback import Feedback
from rag.records.requests import RequestRecord

Format = Literal["jsonl", "parquet"]

PAGE = 500


class ExportedRecord(RequestRecord, frozen=True, kw_only=True):
    """A record with what its reader thought of the answer."""

    feedback: Feedback | None = None


class Writer(Protocol):
    """Takes the records page by page, so that a log of any size fits."""

    def write(self, page: list[ExportedRecord]) -> None:
        """Writes some more."""
        ...

    def close(self) -> None:
        """Writes what is still missing."""
        ...


class JsonLines:
    """One JSON object per line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: list[ExportedRecord]) -> None:
        """See Writer."""
        self._stream.write(msgspec.json.Encoder().encode_lines(page))

    def close(self) -> None:
        """See Writer."""
        self._stream.flush()


def writer_to(stream: BinaryIO, kind: Format) -> Writer:
    """A writer of that format. Raises ConfigError where it needs an extra that is missing."""
    if kind == "jsonl":
        return JsonLines(stream)
    try:
        from rag.records.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError("`--format parquet` needs `pip install groundwire[parquet]`") from error
    return ParquetFile(stream)


async def exported(database: Database, since_s: float = 0.0) -> AsyncIterator[list[ExportedRecord]]:
    """The records that ended at `since_s` or later, in pages. Raises Unavailable."""
    after = ""
    while page := await database.run(partial(_page, after=after, since_s=since_s)):
        yield page
        after = page[-1].id


def _page(connection: Connection, after: str, since_s: float) -> list[ExportedRecord]:
    records = requests.following(connection, PAGE, after=after, since_s=since_s)
    words = feedback.of(connection, [record.id for record in records])
    return [ExportedRecord(**asdict(record), feedback=words.get(record.id)) for record in records]
