"""The reranker that leaves the order as it is."""

from collections.abc import Sequence

from rag.base.errors import NotFound
from rag.base.types import Candidate, Work


class NoReranker:
    """A `Reranker` that does nothing, for those who do not want one."""

    name = "none"
    scores_are_logits = False

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """Raises NotFound."""
        raise NotFound("no reranker is configured here; set `reranker.kind`")

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """The first `limit` candidates."""
        return list(candidates[:limit])
