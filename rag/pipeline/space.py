"""An embedder with the index of its vectors: exchanged together, so that vectors never meet those of others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rag.base.ports import Embedder, Retriever


class Space:
    """What a question is embedded by and then searched in; it knows whether any still is."""

    def __init__(self, embedder: Embedder, retriever: Retriever) -> None:
        self.embedder = embedder
        self.retriever = retriever
        self._n_questions = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def has_one_question(self) -> bool:
        """Whether the question that asks is the only one in it."""
        return self._n_questions == 1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """While a question is in it, the space stays open."""
        self._n_questions += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._n_questions -= 1
            if not self._n_questions:
                self._empty.set()

    async def left(self) -> None:
        """Returns when no question is in it. To be called when no more can enter."""
        await self._empty.wait()
