"""A store gives back what it was given, originals before their duplicates."""

import pytest

from ingest.draft import Draft
from ingest.reindex import stored_drafts
from tests.fake_store import MemoryStore
from tests.indexing import TENANT, all_records, an_indexer, content, run


@pytest.mark.parametrize("first", ["a:1", "z:1"])
async def test_a_rebuilt_store_holds_what_the_first_one_did(first: str) -> None:
    old, new = MemoryStore(), MemoryStore()
    twin = "z:1" if first == "a:1" else "a:1"
    drafts = [
        Draft(uri=first, text="the cat sat on a mat " * 20, title="Cats", acl=("group:x",), metadata={"year": 2}),
        Draft(uri=twin, text="the cat sat on a mat " * 20, acl=("group:x",), metadata={"year": 2}),
        Draft(uri="m:1", text="# a\n\nthe mat\n\n## b\n\na cat", format="markdown", pages=((0, 1), (7, 2), (12, 3))),
    ]
    await run(an_indexer(old), drafts)
    again = [draft async for draft in stored_drafts(old, TENANT)]
    assert {draft.uri: draft.text for draft in again if isinstance(draft, Draft)} == {d.uri: d.text for d in drafts}
    await run(an_indexer(new), again)
    assert await content(new) == await content(old)
    assert (await all_records(new))[twin].duplicate_of == (await all_records(new))[first].id
