"""One store copied into another through the recipe, with other settings, while the first takes writes."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np

from ingest.draft import Draft
from ingest.embed import Sleep
from ingest.lookup import MAX_ALTERNATIVES, by_ids, matching
from ingest.outcome import Outcome, Report
from ingest.pipeline import Indexer, Items, Progress
from ingest.ready import untouched
from rag.base.deadline import Clock
from rag.base.pages import joined
from rag.base.ports import IndexedDocument, PassageStore, Vectors
from rag.base.types import DocumentRecord, Passage
from rag.govern.access import managed_in

Mark = tuple[str, str | None]
"""Another one for every version of a document that needs to be copied."""

PUT_CHUNKS: Final = 256
"""Put at once of documents that need no embedding."""


class Shelf(PassageStore, Protocol):
    """A store that knows whose documents it holds."""

    async def tenants(self) -> list[str]:
        """Everyone who has a document here."""
        ...


class Copy:
    """Makes other stores hold what this one holds, at most `documents_per_s` in a second.

    Each `catch_up` looks at every record and copies those that changed since the one before; the first one of a process
    compares with what is there, so a run that was killed goes on where it was. Where the settings would make the same
    chunks and vectors of a document, it is copied with those that it has.
    """

    def __init__(
        self,
        old: Shelf,
        *,
        documents_per_s: float | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._old = old
        self._pause_s = 1 / documents_per_s if documents_per_s else 0.0
        self._clock = clock
        self._sleep = sleep
        self._copied: dict[str, dict[str, Mark]] = {}

    async def catch_up(self, new: Shelf, indexer: Indexer, progress: Progress | None = None) -> Report:
        """Copies and deletes what differs, with an `indexer` that puts into `new`, which is the same store each time.

        `deleted` of the report counts what was taken out of it.
        """
        total = Report()
        for tenant in sorted({*await self._old.tenants(), *await new.tenants()}):
            total.add(await self._catch_up(new, indexer, tenant, progress))
        return total

    async def _catch_up(self, new: Shelf, indexer: Indexer, tenant: str, progress: Progress | None) -> Report:
        known = self._copied.get(tenant)
        held = [record async for record in matching(self._old, managed_in(tenant), ())]
        present = {record.id: _mark(record) for record in held}
        there = known or {record.id: _mark(record) async for record in matching(new, managed_in(tenant), ())}
        stale = [record for record in held if there.get(record.id) != present[record.id]]
        same = {identifier for identifier, mark in present.items() if there.get(identifier) == mark}
        verbatim = _Verbatim(indexer, same, {*there}, progress)
        if known is None:
            verbatim.tell(untouched(record) for record in held if record.id in same)
        report = await indexer.run(self._paced(self._drafts(tenant, stale, verbatim)), tenant, progress)
        report.add(verbatim.report)
        gone = sorted(there.keys() - present.keys())
        for at in range(0, len(gone), MAX_ALTERNATIVES):
            some = by_ids(gone[at : at + MAX_ALTERNATIVES])
            report.deleted += await indexer.remove_matching(managed_in(tenant), some)
        self._copied[tenant] = present
        return report

    async def _paced(self, items: Items) -> Items:
        due_s = self._clock()
        async for item in items:
            yield item
            due_s = max(due_s + self._pause_s, self._clock() - 1.0)  # who was slower may catch up for a second
            if (left_s := due_s - self._clock()) > 0:
                await self._sleep(left_s)

    async def _drafts(self, tenant: str, records: Iterable[DocumentRecord], verbatim: "_Verbatim") -> Items:
        """What is to be made anew of those records; what would come out the same is put as it is on the way.

        Those that have chunks come first, so that of equal documents the same one is the original again. A duplicate
        has the text of its original. One that was deleted meanwhile is left out.
        """
        for record in sorted(records, key=lambda record: record.duplicate_of is not None):
            found = await self._old.passages(managed_in(tenant), record.duplicate_of or record.id)
            if found:
                draft = _draft(record, found)
                if not await verbatim.takes(record, draft, found):
                    yield draft
        await verbatim.flush()


class _Verbatim:
    """Documents that are put with the vectors that they have, because the recipe would make the same of them.

    A duplicate is among them only when its original is there or was put so too: `same` are the ids of those.
    """

    def __init__(self, indexer: Indexer, same: set[str], there: set[str], progress: Progress | None) -> None:
        self.report = Report()
        self._indexer = indexer
        self._same = same
        self._there = there
        self._progress = progress
        self._waiting: list[IndexedDocument] = []
        self._n_chunks = 0

    async def takes(self, record: DocumentRecord, draft: Draft, found: Sequence[tuple[Passage, Vectors]]) -> bool:
        """Whether that is so for this one; it is then put, at the latest with `flush`."""
        if record.duplicate_of and record.duplicate_of not in self._same:
            return False
        if not self._indexer.makes(draft, record):
            return False
        self._same.add(record.id)
        chunks = () if record.duplicate_of else tuple(passage.chunk for passage, _ in found)
        vectors = np.stack([vector for _, vector in found])[: len(chunks)]
        self._waiting.append(IndexedDocument(record=record, chunks=chunks, vectors=vectors))
        self._n_chunks += len(chunks)
        if self._n_chunks >= PUT_CHUNKS or len(self._waiting) >= PUT_CHUNKS:
            await self.flush()
        return True

    async def flush(self) -> None:
        """Puts what waits."""
        documents, self._waiting, self._n_chunks = self._waiting, [], 0
        self.tell(await self._indexer.put_as_they_are(documents, self._there))

    def tell(self, outcomes: Iterable[Outcome]) -> None:
        """Counts them."""
        for outcome in outcomes:
            self.report.count(outcome)
            if self._progress:
                self._progress(outcome)


def _draft(record: DocumentRecord, found: Sequence[tuple[Passage, Vectors]]) -> Draft:
    chunks = [passage.chunk for passage, _ in found]
    return Draft(
        uri=record.uri,
        text="".join(chunk.text for chunk in chunks),
        pages=joined([chunk.pages for chunk in chunks]),
        title=record.title,
        format=record.format,
        acl=record.acl,
        metadata=record.metadata,
        updated_at=record.updated_at,
    )


def _mark(record: DocumentRecord) -> Mark:
    return record.version, record.duplicate_of
