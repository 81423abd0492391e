"""One store call per tick for all the questions that wait."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Protocol

from rag.base.errors import GroundwireError
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Work
from rag.infer.batcher import Batcher
from rag.infer.single_flight import SingleFlight
from rag.infer.turns import BatchLimits
from rag.telemetry.report import BatchReport

STORE_BATCH = BatchLimits(
    max_items=16,
    interactive_tokens=16,
    bulk_tokens=16,
    credit_tokens=16,
    n_for_quiet=1,
    n_told_at_once=4,
    queue_tokens=4_096,
)
"""A question counts as one token here: the store's cost does not depend on its length. Of 16 together each takes 1.1 ms
of CPU, of 64 as much, of 8 some 8 % more; and whoever comes next waits for all of them (2 cores, 2026-11)."""


class SearchesInBatches(Protocol):
    """What the stores offer beside their port."""

    @property
    def epoch(self) -> int:
        """Grows with every change that a reader can see."""
        ...

    async def search_batch(
        self, requests: Sequence[Retrieval], *, here: bool = False
    ) -> list[list[Candidate] | GroundwireError]:
        """The candidates for each request, in order; a member that fails gives its error and harms no other.

        With `here` it may block the event loop meanwhile, where that is sooner done.
        """
        ...


class BatchedRetriever:
    """A `Retriever` that gathers concurrent searches into one call of the store, equal ones as one."""

    def __init__(self, store: SearchesInBatches, on_batch: Callable[[BatchReport], None] | None = None) -> None:
        self._store = store
        self._flights: SingleFlight[Hashable, list[Candidate]] = SingleFlight()
        self._batcher: Batcher[Retrieval, list[Candidate]] = Batcher(
            "retrieve",
            store.search_batch,
            here=partial(store.search_batch, here=True),
            limits=STORE_BATCH,
            on_batch=on_batch,
        )

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Retriever`."""
        # With the epoch, so that who has put a document does not follow a search that began before.
        key = (self._store.epoch, work.lane, equality(request))
        return [*await self._flights.run(key, lambda: self._search(request, work), work.deadline)]

    async def aclose(self) -> None:
        """Refuses new searches and waits for the running one."""
        await self._batcher.aclose()

    async def _search(self, request: Retrieval, work: Work) -> list[Candidate]:
        candidates, _ = await self._batcher.submit(request, 1, work)
        return candidates


def equality(request: Retrieval) -> Hashable:
    """Equal for requests that have the same answer: every field, the vector by its bytes."""
    return (
        request.text,
        request.vector.tobytes(),
        request.access,
        request.filters,
        request.limit,
        request.with_vectors,
    )
