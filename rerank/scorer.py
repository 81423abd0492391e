"""What the rerankers of this wing are made of: something that scores pairs, in this process or behind HTTP."""

from collections.abc import Sequence
from typing import Protocol

from rag.base.types import Work


class Scorer(Protocol):
    """Reads pairs of question and passage. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """The model with its revision."""
        ...

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """The model's own score for each passage, in order; it does not depend on the other passages.

        Only scores of one question are comparable. Raises Overloaded, DeadlineExceeded, Unavailable, BadDependency.
        """
        ...
