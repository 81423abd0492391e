"""A write through the store takes what was answered from its documents along, before it returns."""

from collections.abc import Sequence

import pytest

from cache.forgetting import ForgettingStore
from rag.base.errors import Unavailable
from rag.base.ids import document_id
from rag.base.ports import IndexedDocument
from rag.base.types import Match
from rag.govern.access import managed_in
from tests.building import FIELDS, document
from tests.fake_store import MemoryStore

ALL = managed_in("acme")


async def five() -> list[IndexedDocument]:
    return [await document(f"file:{number}", ["word"], metadata={"year": 2000 + number % 2}) for number in range(5)]


class Broken(MemoryStore):
    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        raise Unavailable("the disk is full")


async def test_what_is_put_is_forgotten() -> None:
    told: list[list[str]] = []
    documents = await five()
    store = ForgettingStore(MemoryStore(fields=FIELDS), lambda ids: told.append(list(ids)))
    await store.put(documents[:2])
    assert told == [[documents[0].record.id, documents[1].record.id]]


async def test_what_may_have_been_put_is_forgotten() -> None:
    told: list[list[str]] = []
    documents = await five()
    store = ForgettingStore(Broken(fields=FIELDS), lambda ids: told.append(list(ids)))
    with pytest.raises(Unavailable):
        await store.put(documents[:1])
    assert told == [[documents[0].record.id]]


async def test_a_deletion_forgets_what_it_matches() -> None:
    told: list[list[str]] = []
    documents = await five()
    store = ForgettingStore(MemoryStore(fields=FIELDS), lambda ids: told.append(sorted(ids)))
    await store.put(documents)
    await store.delete(ALL, (Match(field="document_id", any_of=(document_id("acme", "file:3"),)),))
    await store.delete(ALL, (Match(field="year", any_of=(2000,)),))
    expected = sorted(documents[number].record.id for number in (0, 2, 4))
    assert told[1:] == [[documents[3].record.id], expected]
