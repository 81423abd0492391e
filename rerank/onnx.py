"""A cross-encoder in this process: reads question and passage together."""

import asyncio
from collections.abc import Sequence

from tokenizers import Tokenizer

from rag.base.types import Candidate, Work
from rag.infer.onnx import OnnxModel
from rag.infer.tokens import load_tokenizer, pair_rows
from rerank.blend import blend, weight_for


class OnnxReranker:
    """A `Reranker` over one ONNX cross-encoder; the model is closed by whoever loaded it."""

    def __init__(self, model: OnnxModel, *, depth: int, weight: float) -> None:
        folder = model.folder
        self.name = folder.revision
        self._model = model
        self._tokenizer: Tokenizer = load_tokenizer(folder.tokenizer, folder.card.max_length_tokens)
        self._depth = depth
        self._weight = weight

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """The model's raw score (a logit) for each passage, in order; it does not depend on the other passages."""
        if not passages:
            return []
        rows = await asyncio.to_thread(pair_rows, self._tokenizer, question, passages)
        return [float(output.reshape(-1)[0]) for output, _ in await self._model.run(rows, work)]

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """See `rag.base.ports.Reranker`. The best `depth` are read; the rest keep their order behind them."""
        head = candidates[: self._depth]
        scores = await self.score(question, [candidate.passage.chunk.text for candidate in head], work)
        return [*blend(head, scores, weight_for(question, self._weight)), *candidates[self._depth :]][:limit]
