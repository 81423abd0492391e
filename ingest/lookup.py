"""Questions that ingestion asks a store, in parts that the store takes."""

from collections.abc import AsyncGenerator, Sequence

from rag.base.ports import PassageStore
from rag.base.types import Access, DocumentRecord, Filters, Match
from rag.govern.access import managed_in

PAGE_SIZE = 256
MAX_ALTERNATIVES = 64
"""Values of one `Match`; longer lists are asked for in parts."""


def by_id(identifier: str) -> Filters:
    """Selects one document."""
    return (Match(field="document_id", any_of=(identifier,)),)


def by_ids(identifiers: Sequence[str]) -> Filters:
    """Selects at most `MAX_ALTERNATIVES` documents."""
    return (Match(field="document_id", any_of=tuple(identifiers)),)


async def record_with(store: PassageStore, tenant: str, identifier: str) -> DocumentRecord | None:
    """The record of one document of the tenant, whoever may see it."""
    page = await store.records(managed_in(tenant), by_id(identifier), 1)
    return page.records[0] if page.records else None


async def records_by(store: PassageStore, tenant: str, field: str, values: Sequence[str]) -> list[DocumentRecord]:
    """Every record of the tenant whose field has one of the values."""
    found: list[DocumentRecord] = []
    unique = sorted(set(values))
    for at in range(0, len(unique), MAX_ALTERNATIVES):
        match = Match(field=field, any_of=tuple(unique[at : at + MAX_ALTERNATIVES]))
        found += [record async for record in matching(store, managed_in(tenant), (match,))]
    return found


async def matching(store: PassageStore, access: Access, filters: Filters) -> AsyncGenerator[DocumentRecord, None]:
    """Every record that matches, by id."""
    cursor: str | None = None
    while True:
        page = await store.records(access, filters, PAGE_SIZE, cursor)
        for record in page.records:
            yield record
        if page.cursor is None:
            return
        cursor = page.cursor
