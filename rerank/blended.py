"""The reranker of this wing: reads the best candidates and blends what it read with how they were found."""

from collections.abc import Callable, Sequence

from rag.base.types import Candidate, Work
from rerank.blend import blend
from rerank.scorer import Scorer


class BlendingReranker:
    """A `Reranker` over anything that scores pairs; see `rerank.blend` for the order that comes of it.

    `weigh` gives the share of the pair's score in the blend for a question. Cross-encoders give logits; a server may
    have made probabilities of them.
    """

    def __init__(
        self, scorer: Scorer, *, depth: int, weigh: Callable[[str], float], scores_are_logits: bool = True
    ) -> None:
        self.name = scorer.name
        self.scorer = scorer
        self.scores_are_logits = scores_are_logits
        self._depth = depth
        self._weigh = weigh

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See `rag.base.ports.Reranker`."""
        return await self.scorer.score(question, passages, work) if passages else []

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Reranker`. The best `depth` are read; the rest keep their order behind them."""
        head = candidates[: self._depth]
        scores = await self.scorer.score(question, [candidate.passage.chunk.text for candidate in head], work)
        return [*blend(head, scores, self._weigh(question)), *candidates[self._depth :]][:limit]
