"""Finds documents that say nearly the same as one that is stored already.

The keys of a document are stored with its record, so that later runs and other workers find it by them; what they find
is then read and compared word by word. Only documents with the same readers and the same metadata are compared: a
reader is never told of a document that is hidden, and a filter selects both or neither.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from ingest.config import NearDuplicates
from ingest.dedupe import circle
from ingest.lookup import records_by
from ingest.minhash import bands, nearly_same
from rag.base.ports import PassageStore
from rag.base.types import Document, DocumentRecord
from rag.govern.access import managed_in

MAX_COMPARED = 4
"""Documents that one is compared with, those with most keys in common first; a template has keys of thousands."""


class Nearness(Struct, frozen=True, kw_only=True):
    """The keys of a document, and the id of the stored document that says nearly the same."""

    bands: tuple[str, ...] = ()
    near_duplicate_of: str | None = None


NOWHERE = Nearness()


class NearDuplicateFinder:
    """Looks at documents that are about to be stored."""

    def __init__(self, store: PassageStore, action: NearDuplicates) -> None:
        self._store = store
        self._action = action

    async def find(self, documents: Sequence[Document]) -> list[Nearness]:
        """One for each document, in order: of those that are alike among themselves the first one is the other's."""
        if self._action == "keep" or not documents:
            return [NOWHERE] * len(documents)
        keys = await asyncio.to_thread(lambda: [bands(document.text) for document in documents])
        wanted = [key for each in keys for key in each]
        others = _Others(await records_by(self._store, documents[0].tenant, "bands", wanted))
        found: list[Nearness] = []
        for document, own in zip(documents, keys, strict=True):
            original = await self._first_alike(document, own, others)
            found.append(Nearness(bands=own, near_duplicate_of=original))
            if original is None or self._action == "link":
                others.add(document, own)
        return found

    def is_left_out(self, nearness: Nearness) -> bool:
        """Whether a new document is not to be stored."""
        return self._action == "skip" and nearness.near_duplicate_of is not None

    async def _first_alike(self, document: Document, keys: Sequence[str], others: "_Others") -> str | None:
        for identifier in others.sharing(document, keys)[:MAX_COMPARED]:
            text = others.texts.get(identifier)
            if text is None:
                text = others.texts[identifier] = await self._text(document.tenant, identifier)
            if nearly_same(document.text, text):
                return identifier
        return None

    async def _text(self, tenant: str, identifier: str) -> str:
        found = await self._store.passages(managed_in(tenant), identifier)
        return "".join(passage.chunk.text for passage, _ in found)


class _Others:
    """Documents that may be alike, by their keys."""

    def __init__(self, records: Sequence[DocumentRecord]) -> None:
        self._holders: dict[str, list[str]] = {}
        self._circles: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        for record in records:
            if record.duplicate_of is None:
                self._add(record, record.bands)

    def add(self, document: Document, keys: Sequence[str]) -> None:
        self._add(document, keys)
        self.texts[document.id] = document.text

    def sharing(self, document: Document, keys: Sequence[str]) -> list[str]:
        """The ids of those with a key in common and the same circle of readers, most keys first."""
        counts = Counter(identifier for key in keys for identifier in self._holders.get(key, ()))
        own = circle(document)
        ranked = sorted(counts, key=lambda identifier: (-counts[identifier], identifier))
        return [each for each in ranked if each != document.id and self._circles[each] == own]

    def _add(self, document: Document | DocumentRecord, keys: Sequence[str]) -> None:
        self._circles[document.id] = circle(document)
        for key in keys:
            holders = self._holders.setdefault(key, [])
            if document.id not in holders:
                holders.append(document.id)
