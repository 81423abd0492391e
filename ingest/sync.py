"""Runs over sources that remember what they read: what has not changed is not read again, what is gone is deleted.

A file counts as unchanged while its size and times are those of the last reading, what it was read with is the same,
and the index still holds every document of it in the version that was made of it. Everything else is read, and then
only what has other content is indexed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import version
from itertools import islice
from typing import Protocol

from msgspec import Struct

from ingest.config import IngestConfig
from ingest.lookup import MAX_ALTERNATIVES
from ingest.memory import Known, Options, Reading, SourceMemory
from ingest.outcome import Failure, Outcome, Report, failure_of
from ingest.pipeline import RECIPE, Items, Progress
from ingest.read import SourceReader
from ingest.sources import Source, is_there
from rag.base.errors import IngestError, InvalidInput
from rag.base.ids import digest
from rag.base.types import EVERYONE

SOURCES_AT_A_TIME = 256
"""Looked for in a thread, as a walk through folders waits for disks, and compared with the index together."""

NO_OPTIONS = Options(acl=(EVERYONE,), metadata={})

READINGS_AT_A_TIME = 256
"""Noted in one transaction."""


class Index(Protocol):
    """What a run needs of an index, in this process or behind a server."""

    async def run(self, items: Items, progress: Progress | None = None) -> Report:
        """Indexes every item."""
        ...

    async def versions(self, ids: Sequence[str]) -> dict[str, str]:
        """The versions of those documents that are there, by id; at most `MAX_ALTERNATIVES` at a time."""
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Deletes those documents and returns how many there were; at most `MAX_ALTERNATIVES` at a time."""
        ...


class Walk(Struct, kw_only=True):
    """What was found at the sources of a run."""

    n_found: int = 0
    n_unchanged: int = 0
    """Documents of sources that were not read."""
    unreadable: list[str] = []
    """What could not be listed: nobody knows what is missing there."""


class Changes(Struct, frozen=True, kw_only=True):
    """What a run would do: read these sources, leave so many documents alone, delete these documents."""

    read: Sequence[str]
    unchanged: int
    delete: Sequence[str]


def recipe_of(config: IngestConfig, embedder: Struct, acl: Sequence[str], metadata: Mapping[str, object]) -> str:
    """Another one for every change of what decides which documents a file gives, and which chunks and vectors."""
    parts = (
        *(version(package) for package in ("groundwire", "kreuzberg")),
        *(str(RECIPE), str(config.chunk_tokens), str(config.embed_headings)),
        *(repr(embedder), repr(tuple(acl)), repr(sorted(metadata.items()))),
    )
    return digest(*parts)


class Synchroniser:
    """Runs over sources of one tenant; `recipe` names all that decides what a reading of a file gives."""

    def __init__(
        self,
        index: Index,
        memory: SourceMemory,
        tenant: str,
        recipe: str,
        options: Options = NO_OPTIONS,
        is_there: Callable[[str], bool] = is_there,
    ) -> None:
        self._is_there = is_there
        self._options = options
        self._index = index
        self._memory = memory
        self._tenant = tenant
        self._recipe = recipe

    async def run(
        self,
        found: Iterable[Source | Failure],
        reader: SourceReader,
        progress: Progress | None = None,
        *,
        read_all: bool = False,
    ) -> tuple[Report, Walk]:
        """Reads and indexes the sources that are not as they were, or all of them."""
        walk = Walk()
        readings = Readings(lambda kept: self._memory.note(self._tenant, kept))

        failing = {letter.uri for letter in self._memory.dead_letters(self._tenant)}

        def settled(outcome: Outcome) -> None:
            readings.settle(outcome)
            if outcome.status == "failed":
                self._memory.fail(self._tenant, failure_of(outcome), self._options)
            elif outcome.uri in failing:
                self._memory.succeed(self._tenant, outcome.uri)
            if progress:
                progress(outcome)

        async with aclosing(self._to_read(found, walk, read_all=read_all)) as sources:
            try:
                items = reader.read(readings.expected(sources, self._stamp))
                report = await self._index.run(readings.watched(items), settled)
            finally:
                readings.flush()
        report.unchanged += walk.n_unchanged
        return report, walk

    async def compare(self, found: Iterable[Source | Failure], scopes: Sequence[str]) -> Changes:
        """What a run over the sources would read, and which documents below `scopes` are missing. Changes nothing."""
        walk = Walk()
        async with aclosing(self._to_read(found, walk, read_all=False)) as sources:
            read = [source.uri async for source in sources]
        missing = [] if walk.unreadable else [each for scope in scopes for each in await self._missing(scope)]
        return Changes(read=read, unchanged=walk.n_unchanged, delete=missing)

    async def delete_missing(self, scopes: Sequence[str], walk: Walk) -> int:
        """Deletes the documents below `scopes` whose source is gone or holds them no more, and returns how many.

        Raises InvalidInput, and deletes nothing, when something could not be listed or nothing is left of a scope that
        had documents: more likely a disk is not mounted.
        """
        if walk.unreadable:
            raise InvalidInput(f"nothing was deleted, because {walk.unreadable[0]} cannot be read")
        missing = [identifier for scope in scopes for identifier in await self._missing(scope)]
        letters = [each for each in self._memory.dead_letters(self._tenant) if _is_below(each.source, scopes)]
        for letter, found in zip(letters, await self._there([each.source for each in letters]), strict=True):
            if not found:
                self._memory.succeed(self._tenant, letter.uri)
        return await self.delete(missing)

    async def delete(self, documents: Sequence[str]) -> int:
        """Deletes documents, forgets them, and returns how many there were."""
        n_deleted = 0
        for at in range(0, len(documents), MAX_ALTERNATIVES):
            some = documents[at : at + MAX_ALTERNATIVES]
            n_deleted += await self._index.delete(some)
            self._memory.forget(some)
        return n_deleted

    async def count(self, documents: Sequence[str]) -> int:
        """How many of the documents are in the index."""
        return len(await self._held(documents))

    def documents_below(self, scope: str) -> list[str]:
        """The ids of all documents that came from the source `scope` or from below it."""
        return [each for known in self._memory.below(self._tenant, scope) for each in (*known.present, *known.dropped)]

    async def _missing(self, scope: str) -> list[str]:
        known = [*self._memory.below(self._tenant, scope)]
        there = await self._there([each.uri for each in known])
        if known and not any(there):
            raise InvalidInput(
                f"nothing was deleted: of all that came from {scope} nothing is there any more, as if a disk were "
                "missing; `rag documents delete --source` deletes it"
            )
        return [
            identifier
            for each, found in zip(known, there, strict=True)
            for identifier in documents_missing(each, found=found)
        ]

    async def _there(self, uris: Sequence[str]) -> list[bool]:
        """Whether each source still exists; asked in a thread, as disks and networks take their time."""
        try:
            return await asyncio.to_thread(lambda: [self._is_there(uri) for uri in uris])
        except IngestError as error:
            raise InvalidInput(f"nothing was deleted, because nobody tells what is missing: {error}") from error

    async def _to_read(
        self, found: Iterable[Source | Failure], walk: Walk, *, read_all: bool
    ) -> AsyncGenerator[Source | Failure, None]:
        """The sources that must be read; the others are counted."""
        each = iter(found)
        while batch := await asyncio.to_thread(lambda: list(islice(each, SOURCES_AT_A_TIME))):
            sources = [source for source in batch if not isinstance(source, Failure)]
            walk.n_found += len(sources)
            walk.unreadable += [source.uri for source in batch if isinstance(source, Failure)]
            current = {} if read_all else await self._current(sources)
            walk.n_unchanged += sum(current.values())
            for source in batch:
                if source.uri not in current:
                    yield source

    async def _current(self, sources: Sequence[Source]) -> dict[str, int]:
        """The uris of those that need not be read, each with the number of its documents."""
        readings = self._memory.readings(self._tenant, [source.uri for source in sources])
        same = [
            readings[source.uri]
            for source in sources
            if source.stamp and source.uri in readings and readings[source.uri].stamp == self._stamp(source)
        ]
        ids = [identifier for reading in same for identifier in reading.documents]
        held = await self._held(ids)
        return {
            reading.uri: len(reading.documents)
            for reading in same
            if all(held.get(identifier) == version for identifier, version in reading.documents.items())
        }

    async def _held(self, ids: Sequence[str]) -> dict[str, str]:
        held: dict[str, str] = {}
        for at in range(0, len(ids), MAX_ALTERNATIVES):
            held |= await self._index.versions(ids[at : at + MAX_ALTERNATIVES])
        return held

    def _stamp(self, source: Source) -> str:
        return f"{source.stamp}-{self._recipe}" if source.stamp else ""


def _is_below(uri: str, scopes: Sequence[str]) -> bool:
    return any(uri == scope or uri.startswith(f"{scope}/") for scope in scopes)


def documents_missing(known: Known, *, found: bool) -> list[str]:
    """The documents of a source that it does not hold any more."""
    return [*known.dropped] if found else [*known.present, *known.dropped]


class _Tally:
    def __init__(self, uri: str, stamp: str) -> None:
        self.uri = uri
        self.stamp = stamp
        self.n_unsettled = 0
        self.n_failed = 0
        self.ended = False
        self.documents: dict[str, str] = {}

    def reading(self) -> Reading:
        stamp = "" if self.n_failed else self.stamp
        return Reading(uri=self.uri, stamp=stamp, documents=self.documents, whole=not self.n_failed)


class Readings:
    """Follows sources through a run, and gives `keep` those that were read to their end and settled."""

    def __init__(self, keep: Callable[[Sequence[Reading]], None]) -> None:
        self._keep = keep
        self._open: dict[str, _Tally] = {}
        self._done: list[Reading] = []

    async def expected(
        self, sources: AsyncGenerator[Source | Failure, None], stamp: Callable[[Source], str]
    ) -> AsyncGenerator[Source | Failure, None]:
        """The sources as they go to a reader."""
        async for source in sources:
            if not isinstance(source, Failure):
                self._open[source.uri] = _Tally(source.uri, stamp(source))
            yield source

    async def watched(self, items: Items) -> Items:
        """The items as they come from the reader, in the order of their sources."""
        previous = ""
        async with aclosing(items):
            async for item in items:
                if item.source != previous:
                    self._end(previous)
                    previous = item.source
                if item.source in self._open:
                    self._open[item.source].n_unsettled += 1
                yield item
        for uri in [*self._open]:
            self._end(uri)

    def settle(self, outcome: Outcome) -> None:
        """Counts what became of one item."""
        tally = self._open.get(outcome.source)
        if tally is None:
            return
        tally.n_unsettled -= 1
        if outcome.status in ("failed", "skipped"):  # it is to be looked at again: what it was near to may be gone
            tally.n_failed += 1
        else:
            tally.documents[outcome.document_id] = outcome.version
        self._close(tally)

    def flush(self) -> None:
        """Gives out what is left."""
        if self._done:
            self._keep(self._done)
            self._done = []

    def _end(self, uri: str) -> None:
        tally = self._open.get(uri)
        if tally is not None:
            tally.ended = True
            self._close(tally)

    def _close(self, tally: _Tally) -> None:
        if tally.ended and not tally.n_unsettled:
            del self._open[tally.uri]
            self._done.append(tally.reading())
            if len(self._done) >= READINGS_AT_A_TIME:
                self.flush()
