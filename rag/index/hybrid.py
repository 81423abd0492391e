"""What the stores' searches have in common: two legs per question, fused into candidates."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from rag.base.errors import BadDependency, GroundwireError, InvalidInput
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Passage
from rag.index.fusion import Fused

DENSE: Final = "dense"
BM25: Final = "bm25"
"""The names of the two vectors of a chunk, and of the legs that search them."""

Outcome = list[Candidate] | GroundwireError
"""What one member of a batch comes to: a member that fails does so alone."""


def require_searchable(request: Retrieval, dimension: int) -> None:
    """Raises InvalidInput for text that is not Unicode and BadDependency for a vector that no store can compare."""
    try:
        request.text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the question is not valid Unicode: it holds half of a surrogate pair") from error
    if request.vector.shape != (dimension,) or not np.isfinite(request.vector).all():
        shape = request.vector.shape
        raise BadDependency(f"the embedder gave a vector of shape {shape} where {dimension} finite numbers are needed")


def asks_for_nothing(request: Retrieval) -> bool:
    """Whether the answer is an empty list without looking."""
    return request.limit < 1 or not request.text.strip()


def candidates(fused: Sequence[Fused], passages: Mapping[str, Passage]) -> list[Candidate]:
    """The fused order with its passages; one whose passage is gone by now is left out."""
    return [
        Candidate(passage=passages[found.id], score=found.score, origin="fused", legs=found.legs)
        for found in fused
        if found.id in passages
    ]
