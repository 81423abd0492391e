"""Sources to drafts: several files are parsed at a time and come out in the order they went in."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import msgspec

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.jsonl import read_jsonl, superseded
from ingest.outcome import Failure
from ingest.parse.formats import JSON_LINES, name_for, suffix
from ingest.parse.parsed import Parsed
from ingest.parse.pool import ParserPool
from ingest.regular import open_regular
from ingest.sources import FileSource, S3Source, Source, StreamSource, UrlSource
from rag.base.errors import IngestError, PermanentIngestError, TransientIngestError
from rag.base.types import EVERYONE, Metadata

if TYPE_CHECKING:
    from ingest.s3 import S3Objects
    from ingest.web import WebReader

LINES_AT_A_TIME = 64
"""JSONL is read in a thread; so many documents are handed over at once."""

Item = Draft | Failure
_Pending = deque[tuple[Source | Failure, asyncio.Task[Item] | None]]


class SourceReader:
    """Turns sources into drafts; `acl` and `metadata` are for documents that state none."""

    def __init__(
        self,
        pool: ParserPool,
        config: IngestConfig,
        *,
        acl: tuple[str, ...] = (EVERYONE,),
        metadata: Metadata | None = None,
        web: "WebReader | None" = None,
        s3: "S3Objects | None" = None,
    ) -> None:
        self._pool = pool
        self._config = config
        self._acl = acl
        self._metadata = dict(metadata or {})
        self._web = web
        self._s3 = s3

    async def read(self, sources: AsyncIterator[Source | Failure]) -> AsyncGenerator[Item, None]:
        """A draft or a Failure for every document, in the order of the sources."""
        pending: _Pending = deque()
        ahead = 2 * self._config.n_parsers
        try:
            while True:
                source = await anext(sources, None)
                if source is not None:
                    pending.append((source, self._started(source)))
                if not pending:
                    return
                if source is None or len(pending) > ahead:
                    first, task = pending.popleft()
                    async for item in self._items(first, task):
                        yield item
        finally:
            running = [task for _, task in pending if task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _started(self, source: Source | Failure) -> asyncio.Task[Item] | None:
        if isinstance(source, Failure | StreamSource) or _holds_lines(source):
            return None
        return asyncio.create_task(self._parsed(source))

    async def _parsed(self, source: FileSource | UrlSource | S3Source) -> Item:
        try:
            parsed, modified_at = await self._read(source)
        except IngestError as error:
            transient = isinstance(error, TransientIngestError)
            return Failure(uri=source.uri, reason=str(error), transient=transient, source=source.uri)
        return Draft(
            uri=source.uri,
            text=parsed.text,
            title=parsed.title,
            format=parsed.format,
            acl=self._acl,
            metadata=self._metadata | parsed.metadata,
            updated_at=modified_at,
            source=source.uri,
            pages=parsed.pages,
        )

    async def _read(self, source: FileSource | UrlSource | S3Source) -> tuple[Parsed, datetime]:
        match source:
            case FileSource():
                return await self._pool.parse_file(source.path), source.modified_at
            case S3Source():
                return await self._of_object(source), source.modified_at
            case UrlSource():
                return await self._of_url(source)

    async def _of_object(self, source: S3Source) -> Parsed:
        if self._s3 is None:
            raise PermanentIngestError("s3:// is not read here")
        data = await asyncio.to_thread(self._s3.read, source)
        return await self._pool.parse_bytes(data, PurePosixPath(source.key).name)

    async def _of_url(self, source: UrlSource) -> tuple[Parsed, datetime]:
        if self._web is None:
            raise PermanentIngestError("urls are not read here")
        fetched = await self._web.fetch(source.uri)
        name = name_for(PurePosixPath(unquote(urlsplit(source.uri).path)).name, fetched.media_type)
        return await self._pool.parse_bytes(fetched.data, name), fetched.modified_at

    async def _items(self, source: Source | Failure, task: asyncio.Task[Item] | None) -> AsyncGenerator[Item, None]:
        if task is not None:
            yield await task
        elif isinstance(source, Failure):
            yield source
        elif not isinstance(source, UrlSource):
            lines = self._lines(source)
            while batch := await asyncio.to_thread(lambda: list(itertools.islice(lines, LINES_AT_A_TIME))):
                for item in batch:
                    yield item

    def _lines(self, source: FileSource | StreamSource | S3Source) -> Iterator[Item]:
        try:
            with ExitStack() as stack:
                limit, skipped = self._config.max_line_bytes, frozenset[int]()
                if isinstance(source, StreamSource):
                    stream, modified_at = source.stream, datetime.now(UTC)
                else:
                    stream, modified_at = stack.enter_context(self._opened(source)), source.modified_at
                    skipped = superseded(stream, limit)
                    stream.seek(0)
                for item in read_jsonl(stream, source.uri, limit, self._acl, skipped):
                    yield self._completed(item, modified_at)
        except OSError as error:
            reason = f"it cannot be read: {error.strerror or type(error).__name__}"
            yield Failure(uri=source.uri, reason=reason, transient=True, source=source.uri)
        except IngestError as error:
            transient = isinstance(error, TransientIngestError)
            yield Failure(uri=source.uri, reason=str(error), transient=transient, source=source.uri)

    def _opened(self, source: FileSource | S3Source) -> AbstractContextManager[BinaryIO]:
        if isinstance(source, FileSource):
            return open_regular(source.path)
        if self._s3 is None:
            raise PermanentIngestError("s3:// is not read here")
        return self._s3.copied(source)

    def _completed(self, item: Item, modified_at: datetime) -> Item:
        if isinstance(item, Failure):
            return item
        metadata = {**self._metadata, **item.metadata}
        return msgspec.structs.replace(item, metadata=metadata, updated_at=item.updated_at or modified_at)


def _holds_lines(source: FileSource | UrlSource | S3Source) -> bool:
    """Whether it is a file of JSON lines."""
    match source:
        case FileSource():
            return suffix(source.path) in JSON_LINES
        case S3Source():
            return suffix(source.key) in JSON_LINES
        case UrlSource():
            return False
