"""The store of this process, as a run over sources sees it; `ingest.remote` is the same for a running server."""

from collections.abc import Awaitable, Callable, Sequence

from ingest.library import Library
from ingest.lookup import by_ids
from ingest.outcome import Report
from ingest.pipeline import Items, Progress
from rag.govern.access import managed_in


class LocalIndex:
    """Indexes as one who manages the tenant. `optimize` follows a run that stored something."""

    def __init__(self, library: Library, tenant: str, optimize: Callable[[], Awaitable[object]]) -> None:
        self._library = library
        self._tenant = tenant
        self._optimize = optimize

    async def run(self, items: Items, progress: Progress | None = None) -> Report:
        """As `Indexer.run`."""
        report = await self._library.indexer.run(items, self._tenant, progress)
        if report.chunks:
            await self._optimize()
        return report

    async def versions(self, ids: Sequence[str]) -> dict[str, str]:
        """The versions of those documents that are there, by id; at most `MAX_ALTERNATIVES` at a time."""
        page = await self._library.list(managed_in(self._tenant), by_ids(ids), len(ids))
        return {record.id: record.version for record in page.records}

    async def delete(self, ids: Sequence[str]) -> int:
        """Deletes those documents and returns how many there were; at most `MAX_ALTERNATIVES` at a time."""
        return (await self._library.delete_matching(managed_in(self._tenant), by_ids(ids))).n_deleted
