"""Equal questions in flight are embedded once."""

from collections.abc import Sequence

from rag.base.ports import Embedder, Vectors
from rag.base.types import Lane, Role, Work
from rag.infer.single_flight import SingleFlight


class SharedEmbedder:
    """An `Embedder` over another: single texts that several callers want at the same time go in once.

    A vector depends on its text alone, so callers of different tenants may share one. Work of different urgency is
    not shared: a question must not wait with ingestion.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._flights: SingleFlight[tuple[str, Role, Lane], Vectors] = SingleFlight()
        self.name = embedder.name
        self.dimension = embedder.dimension

    @property
    def max_length_tokens(self) -> int:
        """See `rag.base.ports.Embedder`."""
        return self._embedder.max_length_tokens

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """See `rag.base.ports.Embedder`."""
        if len(texts) != 1:
            return await self._embedder.embed(texts, role, work)
        key = (texts[0], role, work.lane)
        return (await self._flights.run(key, lambda: self._alone(texts, role, work), work.deadline)).copy()

    async def _alone(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        return await self._embedder.embed(texts, role, work)
