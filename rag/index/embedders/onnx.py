"""The embedder that ships: an ONNX bi-encoder in this process."""

import asyncio
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from rag.base.ports import Vectors
from rag.base.types import Role, Work
from rag.index.embedders.wire import unit
from rag.infer.onnx import OnnxModel
from rag.infer.tokens import TokenRow, load_tokenizer, text_rows

TOKENISED_IN_THREAD = 8
"""From this many texts on tokenising would hold the event loop for milliseconds."""


class OnnxEmbedder:
    """An `Embedder` over one ONNX model; the model is closed by whoever loaded it."""

    def __init__(self, model: OnnxModel) -> None:
        folder = model.folder
        self._model = model
        self._tokenizer: Tokenizer = load_tokenizer(folder.tokenizer, folder.card.max_length_tokens)
        self._prefixes: dict[Role, str] = {"query": folder.card.query_prefix, "passage": folder.card.passage_prefix}
        self.name = folder.revision
        self.dimension = folder.card.dimension
        self.max_length_tokens = folder.card.max_length_tokens

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """See `rag.base.ports.Embedder`."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        prefix = self._prefixes[role]
        prefixed = [prefix + text for text in texts] if prefix else texts
        if len(texts) >= TOKENISED_IN_THREAD:
            rows = await asyncio.to_thread(text_rows, self._tokenizer, prefixed)
        else:
            rows = text_rows(self._tokenizer, prefixed)
        vectors = np.stack([vector for vector, _ in await self._model.run(self._cut(rows), work)])
        return vectors if self._model.folder.card.normalized else unit(vectors, f"model '{self.name}'")

    def _cut(self, rows: list[TokenRow]) -> list[TokenRow]:
        # An empty text still has its special tokens; a row without any would be an empty tensor.
        return [row if len(row) else TokenRow((0,), (0,)) for row in rows]
