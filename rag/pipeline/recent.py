"""The last questions that were searched for, to be asked again of another index."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from rag.base.ports import Retrieval, Retriever
from rag.base.types import Candidate, Work

N_QUESTIONS: Final = 200
DEPTH: Final = 10


class RememberingRetriever:
    """A `Retriever` over another that knows what it was asked last. They are kept in memory and never told."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self.asked: deque[Retrieval] = deque(maxlen=N_QUESTIONS)

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Retriever`."""
        self.asked.append(request)
        return await self._retriever.retrieve(request, work)


class Overlap(Struct, frozen=True, kw_only=True):
    """How much of the first ten passages for recent questions another index finds too; None without questions."""

    questions: int
    overlap_10: float | None


def overlap(old: Sequence[Candidate], new: Sequence[Candidate]) -> float:
    """The share of the first ten of `old` of which some text is among the first ten of `new`; 1 where there are none.

    Chunks may be cut otherwise, so passages are the same when they have characters of a document in common.
    """
    first = old[:DEPTH]
    return sum(any(_meet(one, other) for other in new[:DEPTH]) for one in first) / len(first) if first else 1.0


def _meet(one: Candidate, other: Candidate) -> bool:
    ours, theirs = one.passage.chunk, other.passage.chunk
    return ours.document_id == theirs.document_id and ours.start < theirs.stop and theirs.start < ours.stop
