"""A cross-encoder in this process: reads question and passage together."""

import asyncio
from collections.abc import Sequence

from tokenizers import Tokenizer

from rag.base.types import Work
from rag.infer.onnx import OnnxModel
from rag.infer.tokens import load_tokenizer, pair_rows


class OnnxScorer:
    """A `Scorer` over one ONNX cross-encoder; the model is closed by whoever loaded it."""

    def __init__(self, model: OnnxModel) -> None:
        folder = model.folder
        self.name = folder.revision
        self._model = model
        self._tokenizer: Tokenizer = load_tokenizer(folder.tokenizer, folder.card.max_length_tokens)

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See `rerank.scorer.Scorer`; a score is a logit."""
        if not passages:
            return []
        rows = await asyncio.to_thread(pair_rows, self._tokenizer, question, passages)
        return [float(output.reshape(-1)[0]) for output, _ in await self._model.run(rows, work)]
