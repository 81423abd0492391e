"""What the stores' searches have in common: questions become legs, the legs' rankings become candidates."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import numpy as np
from msgspec import Struct
from qdrant_edge import SparseVector

from rag.base.errors import BadDependency, GroundwireError, InvalidInput
from rag.base.ports import Retrieval, Vectors
from rag.base.types import Access, Candidate, Origin, Passage
from rag.index.bm25 import Bm25Encoder
from rag.index.config import FusionConfig
from rag.index.filters import Fields
from rag.index.fusion import Fused, Id, Ranking, fuse
from rag.index.selection import Selection, meeting

DENSE: Final = "dense"
BM25: Final = "bm25"
"""The names of the two vectors of a chunk, and of the legs that search them."""

Leg = Literal["dense", "bm25"]

Outcome = list[Candidate] | GroundwireError
"""What one member of a batch comes to: a member that fails does so alone."""


class Plan(Struct, frozen=True, kw_only=True):
    """One question as a store is to be asked: for chunks that `access` covers and that are among the `wanted`.

    Word statistics are taken from all chunks that `access` covers and no others: a score must not tell that a hidden
    document holds a word.
    """

    legs: tuple[Leg, ...]
    vector: Vectors
    words: SparseVector
    access: Access
    wanted: Selection
    depth: int
    limit: int


class Hybrid(Struct, frozen=True):
    """Plans the legs of a question and fuses what they find."""

    fields: Fields
    fusion: FusionConfig
    encoder: Bm25Encoder
    dimension: int

    def plan(self, request: Retrieval) -> Plan | GroundwireError:
        """How to ask the store; no legs where the answer is an empty list, or why the question cannot be asked."""
        try:
            require_searchable(request, self.dimension, self.fields)
        except GroundwireError as error:
            return error
        words = self.encoder.question(request.text)
        legs: list[Leg] = []
        if not asks_for_nothing(request):
            if self.fusion.weights.dense:
                legs.append("dense")
            if self.fusion.weights.bm25 and words.indices:
                legs.append("bm25")
        return Plan(
            legs=tuple(legs),
            vector=request.vector,
            words=words,
            access=request.access,
            wanted=meeting(request.filters, self.fields),
            depth=max(self.fusion.depth, request.limit),
            limit=request.limit,
        )

    def fuse(self, plan: Plan, rankings: Sequence[Ranking[Id]]) -> list[Fused[Id]]:
        """The best of the rankings, which are those of the plan's legs in order."""
        found: dict[Origin, Ranking[Id]] = dict(zip(plan.legs, rankings, strict=True))
        return fuse(found, self.fusion, plan.limit)


def require_searchable(request: Retrieval, dimension: int, fields: Fields) -> None:
    """Raises InvalidInput for text that is not Unicode and BadDependency for a vector that no store can compare.

    InvalidInput too for a filter by a field that the index does not know: it may have been built anew without that.
    """
    try:
        request.text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the question is not valid Unicode: it holds half of a surrogate pair") from error
    for condition in request.filters:
        if condition.field not in fields.filterable:
            raise InvalidInput("a filter names a field that the index has no more; restart the server to know which")
    if request.vector.shape != (dimension,) or not np.isfinite(request.vector).all():
        shape = request.vector.shape
        raise BadDependency(f"the embedder gave a vector of shape {shape} where {dimension} finite numbers are needed")


def asks_for_nothing(request: Retrieval) -> bool:
    """Whether the answer is an empty list without looking."""
    return request.limit < 1 or not request.text.strip()


def dense_of(vectors: object) -> Sequence[float]:
    """The dense one of a chunk's vectors, as a store gives them."""
    return cast("Mapping[str, Sequence[float]]", vectors)[DENSE]


def candidates(
    fused: Sequence[Fused[Id]], passages: Mapping[Id, Passage], vectors: Mapping[Id, Sequence[float]]
) -> list[Candidate]:
    """The fused order with its passages, and with those vectors that there are.

    One whose passage is gone by now is left out.
    """
    return [
        Candidate(
            passage=passages[found.id],
            score=found.score,
            origin="fused",
            legs=found.legs,
            vector=tuple(vectors.get(found.id, ())),
        )
        for found in fused
        if found.id in passages
    ]
