"""The documents of a store, for those who manage them one by one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from ingest.draft import Draft
from ingest.lookup import record_with
from ingest.outcome import Outcome
from ingest.pipeline import Indexer
from rag.base.errors import DeadlineExceeded
from rag.base.ports import Page, PassageStore
from rag.base.types import Access, DocumentRecord, Filters, Work
from rag.govern.access import managed_in, permits
from rag.index.gate import Gate

LOOK_AGAIN_S: Final = 0.05


class Deletion(Struct, frozen=True, kw_only=True):
    """How many documents were deleted, and how many that match were counted afterwards."""

    n_deleted: int
    n_left: int


class Library:
    """What the HTTP API and the commands do with documents. Whoever may not see a document may not touch it."""

    def __init__(self, indexer: Indexer, store: PassageStore) -> None:
        self.indexer = indexer
        self._store = store
        self._writing = Gate()

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Inside, nothing is put or deleted through this library; those who want to wait."""
        async with self._writing.exclusive():
            yield

    def exchange(self, indexer: Indexer, store: PassageStore) -> None:
        """Goes on with another store that holds the same documents. To be called inside of `still`."""
        self.indexer = indexer
        self._store = store

    async def put(self, access: Access, draft: Draft, work: Work) -> Outcome:
        """Indexes the draft in the tenant of `access`, in place of the document that has its uri.

        Raises Forbidden when that document exists and is not visible; IngestError, LoadError, DependencyError.
        """
        async with self._writing.shared():
            document = self.indexer.document(draft, access.tenant)
            return await self.indexer.index(document, work, access)

    async def require_searchable(self, tenant: str, outcome: Outcome, work: Work) -> None:
        """Returns when what was put is read back: its record in that version, and every chunk that stands for it.

        The embedded store shows it at once; replicas of a server may take a moment. Raises DeadlineExceeded.
        """
        while not await self._is_searchable(tenant, outcome):
            if work.deadline.remaining_s() <= LOOK_AGAIN_S:
                raise DeadlineExceeded("the document is stored and cannot be read back yet")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _is_searchable(self, tenant: str, outcome: Outcome) -> bool:
        record = await record_with(self._store, tenant, outcome.document_id)
        if record is None or record.version != outcome.version:
            return False
        holder = await record_with(self._store, tenant, record.duplicate_of) if record.duplicate_of else record
        if holder is None:
            return False
        found = await self._store.passages(managed_in(tenant), holder.id)
        return len(found) == holder.n_chunks and all(passage.version == holder.version for passage, _ in found)

    async def get(self, access: Access, document_id: str) -> DocumentRecord | None:
        """The record, or None when there is none that `access` covers."""
        record = await record_with(self._store, access.tenant, document_id)
        return record if record and permits(access, record.tenant, record.acl) else None

    async def text(self, access: Access, document_id: str) -> str | None:
        """The whole text as it was parsed; of a duplicate the text of its original, which has the same words."""
        record = await self.get(access, document_id)
        if record is None:
            return None
        found = await self._store.passages(access, record.duplicate_of or record.id)
        return "".join(passage.chunk.text for passage, _ in found)

    async def list(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """The visible documents that match, ordered by id."""
        return await self._store.records(access, filters, limit, cursor)

    async def delete(self, access: Access, document_id: str) -> bool:
        """Removes a document; whether there was one that `access` covers. Its duplicates stay."""
        async with self._writing.shared():
            record = await self.get(access, document_id)
            return record is not None and await self.indexer.remove(record)

    async def delete_matching(self, access: Access, filters: Filters) -> Deletion:
        """Removes all that match and that `access` covers; no filters match everything. Duplicates of them stay."""
        async with self._writing.shared():
            n_deleted = await self.indexer.remove_matching(access, filters)
        left = await self._store.records(access, filters, 1)
        return Deletion(n_deleted=n_deleted, n_left=left.total)
