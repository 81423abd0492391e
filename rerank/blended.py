"""The reranker of this wing: reads the best candidates and blends what it read with how they were found."""

from collections.abc import Sequence

from rag.base.titles import headed
from rag.base.types import Candidate, Passage, Work
from rerank.blend import Blend, blended
from rerank.scorer import Scorer


class BlendingReranker:
    """A `Reranker` over anything that scores pairs; see `rerank.blend` for the order that comes of it.

    Cross-encoders give logits; a server may have made probabilities of them.
    """

    def __init__(self, scorer: Scorer, blend: Blend, *, depth: int, scores_are_logits: bool = True) -> None:
        self.name = scorer.name
        self.scorer = scorer
        self.scores_are_logits = scores_are_logits
        self._blend = blend
        self._depth = depth

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See `rag.base.ports.Reranker`."""
        return await self.scorer.score(question, passages, work) if passages else []

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Reranker`. At most the best `depth` are read; the rest keep their order behind them.

        A model that can tell how sure it is reads in rounds, and no further once it is.
        """
        head = candidates[: self._depth]
        scores: list[float] = []
        while (stop := self._blend.next_stop(scores, len(head))) > len(scores):
            passages = [text_read(candidate.passage) for candidate in head[len(scores) : stop]]
            scores += await self.scorer.score(question, passages, work)
        mixed = self._blend.mixed(
            [candidate.score for candidate in head], scores, [candidate.vector for candidate in head]
        )
        return [*blended(head[: len(scores)], scores, mixed), *candidates[len(scores) :]][:limit]


def text_read(passage: Passage) -> str:
    """What is read of a passage: its text below its title and headings, as it was embedded."""
    return headed(passage.chunk.text, passage.uri, passage.title, passage.chunk.headings)
