"""Everything that a store holds, as drafts again: for an index that is built anew with other settings."""

from collections.abc import AsyncGenerator

from ingest.draft import Draft
from ingest.lookup import matching
from ingest.outcome import Failure
from rag.base.pages import joined
from rag.base.ports import PassageStore
from rag.govern.access import managed_in


async def stored_drafts(store: PassageStore, tenant: str) -> AsyncGenerator[Draft | Failure, None]:
    """The documents of the tenant, each with its whole text as its chunks tile it.

    Those that have chunks come first, so that of equal documents the same one is the original again; a duplicate has
    the text of its original.
    """
    access = managed_in(tenant)
    for duplicates in (False, True):
        async for record in matching(store, access, ()):
            if (record.duplicate_of is not None) is duplicates:
                chunks = [each.chunk for each, _ in await store.passages(access, record.duplicate_of or record.id)]
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
