"""One store call per tick for all the questions that wait."""

from collections.abc import Callable, Sequence
from typing import Protocol

from rag.base.errors import GroundwireError
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Work
from rag.infer.batcher import Batcher, BatchLimits, BatchReport

STORE_BATCH = BatchLimits(max_items=64, interactive_tokens=64, bulk_tokens=64, queue_tokens=4_096)
"""A question counts as one token here: the store's cost does not depend on its length."""


class SearchesInBatches(Protocol):
    """What the stores offer beside their port."""

    async def search_batch(self, requests: Sequence[Retrieval]) -> list[list[Candidate] | GroundwireError]:
        """The candidates for each request, in order; a member that fails gives its error and harms no other."""
        ...


class BatchedRetriever:
    """A `Retriever` that gathers concurrent searches into one call of the store."""

    def __init__(self, store: SearchesInBatches, on_batch: Callable[[BatchReport], None] | None = None) -> None:
        self._batcher: Batcher[Retrieval, list[Candidate]] = Batcher(
            "retrieve", store.search_batch, limits=STORE_BATCH, on_batch=on_batch
        )

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Retriever`."""
        candidates, _ = await self._batcher.submit(request, 1, work)
        return candidates

    async def aclose(self) -> None:
        """Refuses new searches and waits for the running one."""
        await self._batcher.aclose()
