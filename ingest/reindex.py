"""One store copied into another through the recipe, with other settings, while the first takes writes."""

import asyncio
import time
from collections.abc import Iterable
from typing import Protocol

from ingest.draft import Draft
from ingest.embed import Sleep
from ingest.lookup import MAX_ALTERNATIVES, by_ids, matching
from ingest.outcome import Report
from ingest.pipeline import Indexer, Items, Progress
from rag.base.deadline import Clock
from rag.base.pages import joined
from rag.base.ports import PassageStore
from rag.base.types import DocumentRecord
from rag.govern.access import managed_in

Mark = tuple[str, str | None]
"""Another one for every version of a document that needs to be copied."""


class Shelf(PassageStore, Protocol):
    """A store that knows whose documents it holds."""

    async def tenants(self) -> list[str]:
        """Everyone who has a document here."""
        ...


class Copy:
    """Makes other stores hold what this one holds, at most `documents_per_s` in a second.

    Each `catch_up` looks at every record and copies those that changed since the one before; the first one of a process
    compares whole documents, so a run that was killed goes on where it was.
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
        stale = [record for record in held if known is None or known.get(record.id) != present[record.id]]
        there = known or {record.id async for record in matching(new, managed_in(tenant), ())}
        report = await indexer.run(self._paced(_drafts(self._old, tenant, stale)), tenant, progress)
        gone = sorted({*there} - present.keys())
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


async def _drafts(store: PassageStore, tenant: str, records: Iterable[DocumentRecord]) -> Items:
    """Those that have chunks come first, so that of equal documents the same one is the original again.

    A duplicate has the text of its original. One that was deleted meanwhile is left out.
    """
    for record in sorted(records, key=lambda record: record.duplicate_of is not None):
        found = await store.passages(managed_in(tenant), record.duplicate_of or record.id)
        chunks = [passage.chunk for passage, _ in found]
        if chunks:
            yield Draft(
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
