"""Kept answers in this process: found by key, dropped by document, the least worth out first."""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from cache.entry import Entry, Hit
from cache.key import CacheKey
from cache.nearest import Nearest
from rag.base.deadline import Clock
from rag.base.ports import Vectors


class _Slot:
    """An entry with what changes about it."""

    __slots__ = ("checked_at_epoch", "entry", "n_bytes", "priority")

    def __init__(self, entry: Entry, epoch: int | None, priority: tuple[float, int]) -> None:
        self.entry = entry
        self.n_bytes = entry.n_bytes
        self.checked_at_epoch = epoch
        self.priority = priority


class Keeper(Protocol):
    """What outlives the process."""

    def put(self, entry: Entry) -> None:
        """Keeps an entry in place of any under its digest."""
        ...

    def drop(self, digest: bytes) -> None:
        """Forgets an entry."""
        ...

    def evict(self, digest: bytes) -> None:
        """Hears that there is no room in memory for an entry."""
        ...


class AnswerMemory:
    """Holds at most `max_bytes` of entries. For one event loop. `clock` is the time of day in seconds.

    `keepers` are told of what comes and goes.

    What leaves first is chosen by GreedyDual-Size (Cao and Irani, 1997): the priority of an entry is what it took to
    make per byte, on top of the priority of what left last. So of equal entries the least recently used one leaves,
    and an answer that took a minute outlives many that took a millisecond.
    """

    def __init__(self, max_bytes: int, clock: Clock = time.time, keepers: Sequence[Keeper] = ()) -> None:
        self._keepers = keepers
        self._max_bytes = max_bytes
        self._clock = clock
        self._slots: dict[bytes, _Slot] = {}
        self._nearest: dict[tuple[bytes, int], Nearest] = {}
        self._by_document: defaultdict[str, set[bytes]] = defaultdict(set)
        self._queue: list[tuple[tuple[float, int], bytes]] = []
        self._floor = 0.0
        self._n_uses = 0
        self.n_bytes = 0

    def get(self, key: CacheKey, max_age_s: float | None = None) -> Hit | None:
        """The entry under the key, if it is not too old; whether it still holds is for `is_checked` and the evidence.

        `max_age_s` makes the entry's own time shorter for this one look.
        """
        slot = self._slots.get(key.digest)
        if slot is None or slot.entry.key.canonical != key.canonical:
            return None
        age_s = self._age_s(slot.entry)
        if age_s >= slot.entry.ttl_s:
            self.drop(key.digest)
            return None
        if max_age_s is not None and age_s > max_age_s:
            return None
        return Hit(entry=slot.entry, age_s=age_s)

    def near(self, key: CacheKey, vector: Vectors, limit: int) -> list[Hit]:
        """The entries of the key's scope whose questions are nearest, best first; none of them too old."""
        nearest = self._nearest.get((key.scope, len(vector)))
        found = nearest.find(vector, limit) if nearest else []
        hits = [
            Hit(entry=entry, age_s=self._age_s(entry), similarity=min(1.0, cosine))
            for cosine, entry in ((cosine, self._slots[digest].entry) for cosine, digest in found)
        ]
        return [hit for hit in hits if hit.age_s < hit.entry.ttl_s]

    def use(self, entry: Entry) -> None:
        """Says that the entry was served."""
        slot = self._slots.get(entry.key.digest)
        if slot is not None:
            slot.priority = self._priority(entry, slot.n_bytes)

    def is_checked(self, entry: Entry, epoch: int | None) -> bool:
        """Whether the entry was found to hold for its own question at this state of the index."""
        slot = self._slots.get(entry.key.digest)
        return slot is not None and epoch is not None and slot.checked_at_epoch == epoch

    def check(self, entry: Entry, epoch: int | None) -> None:
        """Says that the entry holds for its own question at this state of the index."""
        slot = self._slots.get(entry.key.digest)
        if slot is not None:
            slot.checked_at_epoch = epoch

    def put(self, entry: Entry, epoch: int | None) -> None:
        """Keeps an entry that holds at this state of the index."""
        self.drop(entry.key.digest)
        if entry.n_bytes > self._max_bytes:
            return
        for keeper in self._keepers:
            keeper.put(entry)
        self._take(_Slot(entry, epoch, (0.0, 0)))

    def restore(self, entries: Iterable[Entry]) -> None:
        """Takes in what an earlier process kept, oldest first; each is to be checked when it is asked for."""
        for entry in entries:
            self._take(_Slot(entry, None, (0.0, 0)))

    def _take(self, slot: _Slot) -> None:
        entry, digest = slot.entry, slot.entry.key.digest
        slot.priority = self._priority(entry, slot.n_bytes)
        self._slots[digest] = slot
        self.n_bytes += slot.n_bytes
        for document in _documents(entry):
            self._by_document[document].add(digest)
        vector = entry.question.vector
        self._nearest.setdefault((entry.key.scope, len(vector)), Nearest(len(vector))).put(digest, vector)
        self._enqueue(slot.priority, digest)
        while self.n_bytes > self._max_bytes:
            self._evict()

    def drop(self, digest: bytes) -> bool:
        """Forgets an entry; whether there was one."""
        if not self._remove(digest):
            return False
        for keeper in self._keepers:
            keeper.drop(digest)
        return True

    def _remove(self, digest: bytes) -> bool:
        slot = self._slots.pop(digest, None)
        if slot is None:
            return False
        self.n_bytes -= slot.n_bytes
        block = (slot.entry.key.scope, len(slot.entry.question.vector))
        self._nearest[block].drop(digest)
        if not len(self._nearest[block]):
            del self._nearest[block]
        for document in _documents(slot.entry):
            held = self._by_document[document]
            held.discard(digest)
            if not held:
                del self._by_document[document]
        return True

    def drop_documents(self, documents: Iterable[str]) -> int:
        """Forgets every entry that was written from one of the documents, and returns how many those were."""
        digests = {digest for document in documents for digest in self._by_document.get(document, ())}
        return sum(self.drop(digest) for digest in digests)

    def entries(self) -> Iterator[Entry]:
        """All of them, in no order."""
        return (slot.entry for slot in list(self._slots.values()))

    def clear(self) -> int:
        """Forgets everything, and returns how many entries that was."""
        return sum(self.drop(digest) for digest in list(self._slots))

    def __len__(self) -> int:
        return len(self._slots)

    def _age_s(self, entry: Entry) -> float:
        return max(0.0, self._clock() - entry.stored_at_s)  # the time of day may be set back

    def _priority(self, entry: Entry, n_bytes: int) -> tuple[float, int]:
        self._n_uses += 1
        return self._floor + entry.cost_s / n_bytes, self._n_uses

    def _enqueue(self, priority: tuple[float, int], digest: bytes) -> None:
        if len(self._queue) > 2 * len(self._slots) + 64:  # mostly places of what was dropped
            self._queue = [(slot.priority, key) for key, slot in self._slots.items()]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (priority, digest))

    def _evict(self) -> None:
        """Drops the entry of least priority. A place in the queue may be older than the entry's last use."""
        while True:
            priority, digest = heapq.heappop(self._queue)
            slot = self._slots.get(digest)
            if slot is None:
                continue
            if slot.priority != priority:
                heapq.heappush(self._queue, (slot.priority, digest))
                continue
            self._floor = priority[0]
            self._remove(digest)
            for keeper in self._keepers:
                keeper.evict(digest)
            return


def _documents(entry: Entry) -> set[str]:
    return {evidence.document_id for evidence in entry.evidence}
