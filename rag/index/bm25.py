"""Texts as BM25 term weights: the sparse vectors that both stores keep and search.

The encoder is Qdrant Edge's: words are lowered, stop words dropped, the rest stemmed and hashed; a chunk's weights hold
the term-frequency half of BM25 and the store multiplies the other half, the inverse document frequency.
"""

from qdrant_edge import Bm25, SparseVector
from qdrant_edge import Bm25Config as EncoderConfig

from rag.base.errors import ConfigError
from rag.index.config import Bm25Config


class Bm25Encoder:
    """Safe to call from several threads. Raises ConfigError for a language that it does not know."""

    def __init__(self, config: Bm25Config) -> None:
        try:
            options = EncoderConfig(k=config.k1, b=config.b, avg_len=config.average_words, language=config.language)
            self._model = Bm25(options)
        except ValueError as error:
            raise ConfigError(f"BM25 cannot be set up: {error}", path="bm25") from error

    def passage(self, text: str) -> SparseVector:
        """The weights of a stored chunk. Raises UnicodeEncodeError for half a surrogate pair."""
        return self._model.embed_document(text)

    def question(self, text: str) -> SparseVector:
        """Each word once; empty when the text has nothing but stop words. Raises as `passage` does."""
        return self._model.embed_query(text)
