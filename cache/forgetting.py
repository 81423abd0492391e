"""A store that tells the cache which documents have changed, before the write returns."""

from collections.abc import Callable, Sequence

from rag.base.ports import IndexedDocument, Page, PassageStore, Vectors
from rag.base.types import Access, Filters, Match, Passage

PAGE = 1_000


class ForgettingStore:
    """The PassageStore over another; `forget` gets the ids of documents whose earlier words must not be kept."""

    def __init__(self, store: PassageStore, forget: Callable[[Sequence[str]], object]) -> None:
        self._store = store
        self._forget = forget

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        """See `rag.base.ports.PassageStore`."""
        try:
            await self._store.put(documents)
        finally:  # what failed half way may have changed something
            self._forget([document.record.id for document in documents])

    async def delete(self, access: Access, filters: Filters) -> int:
        """See `rag.base.ports.PassageStore`."""
        doomed = await self._doomed(access, filters)
        try:
            return await self._store.delete(access, filters)
        finally:
            self._forget(doomed)

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """See `rag.base.ports.PassageStore`."""
        return await self._store.records(access, filters, limit, cursor)

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        """See `rag.base.ports.PassageStore`."""
        return await self._store.passages(access, document_id)

    async def _doomed(self, access: Access, filters: Filters) -> list[str]:
        """The documents that a deletion can touch; more than those does no harm."""
        for condition in filters:
            if isinstance(condition, Match) and condition.field == "document_id" and not condition.negated:
                return [str(value) for value in condition.any_of]
        doomed: list[str] = []
        cursor: str | None = None
        while True:
            page = await self._store.records(access, filters, PAGE, cursor)
            doomed += [record.id for record in page.records]
            cursor = page.cursor
            if cursor is None:
                return doomed
