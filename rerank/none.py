"""The reranker that leaves the order as it is."""

from collections.abc import Sequence

from rag.base.types import Candidate, Work


class NoReranker:
    """A `Reranker` that does nothing, for those who do not want one."""

    name = "none"

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """The first `limit` candidates."""
        return list(candidates[:limit])
