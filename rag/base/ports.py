"""The seams of the house. An adapter and its fake pass the same contract suite in `tests/contracts`."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rag.base.answers import Answer, AnswerEvent
from rag.base.deadline import Deadline
from rag.base.types import (
    Access,
    Candidate,
    Chunk,
    DocumentRecord,
    Filters,
    ModelEvent,
    Passage,
    Prompt,
    Query,
    Role,
    Work,
)

Vectors = NDArray[np.float32]
"""Shape (n, dimension), float32, rows of unit length."""


class Retrieval(Struct, frozen=True, kw_only=True):
    """One search: the question as text and as a vector of shape (dimension,), and what the caller may see.

    `with_vectors` asks for the candidates' own vectors.
    """

    text: str
    vector: Vectors
    access: Access
    filters: Filters
    limit: int
    with_vectors: bool = False


class IndexedDocument(Struct, frozen=True, kw_only=True):
    """One document ready to be stored: `vectors[i]` belongs to `chunks[i]`; a duplicate has neither."""

    record: DocumentRecord
    chunks: tuple[Chunk, ...]
    vectors: Vectors


class Page(Struct, frozen=True, kw_only=True):
    """Part of a listing; `cursor` asks for the next part, None at the end. `total` counts the whole listing."""

    records: tuple[DocumentRecord, ...]
    total: int
    cursor: str | None


class Embedder(Protocol):
    """Turns texts into vectors. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """The model with its revision; vectors of different names are never compared."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    @property
    def max_length_tokens(self) -> int:
        """How much of a text is read, in tokens and with the special ones; the rest is cut off."""
        ...

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """One unit vector per text, in order; shape (0, dimension) for none. Longer texts are cut at the model's limit.

        The vector of a text does not depend on what else is embedded (max |Δ| ≤ 1e-5).
        Raises Overloaded, DeadlineExceeded, Unavailable, and BadDependency for a remote model that answers nonsense.
        """
        ...


class Retriever(Protocol):
    """Finds passages. Safe to call concurrently."""

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        """At most `limit` candidates, best first, origin "fused", each chunk once; only what `access` may see.

        Empty text or an empty index gives an empty list. Raises Overloaded, DeadlineExceeded, Unavailable.
        """
        ...


class PassageStore(Protocol):
    """Keeps documents and their chunks. Safe to call concurrently from one event loop."""

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        """Stores each document in place of any earlier version of it: a reader sees one version or the other, whole.

        When it returns, what it stored survives the death of the process. Raises Unavailable.
        """
        ...

    async def delete(self, access: Access, filters: Filters) -> int:
        """Removes the documents that match, with their chunks, and returns how many documents that were."""
        ...

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """The documents that match, ordered by id. A cursor that this store did not give raises InvalidInput."""
        ...

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        """The chunks of one document by ordinal, each with its vector of shape (dimension,); empty when not visible."""
        ...


class Reranker(Protocol):
    """Reads question and passages together and orders them. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """The model with its revision, or "none"."""
        ...

    @property
    def scores_are_logits(self) -> bool:
        """Whether `score` gives logits, of which a sigmoid makes probabilities; else they are in 0..1."""
        ...

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """The model's own score for each passage, in order. Raises as `rerank`, and NotFound where there is none."""
        ...

    async def rerank(self, question: str, candidates: Sequence[Candidate], limit: int, work: Work) -> list[Candidate]:
        """At most `limit` of the candidates, best first: a permutation of the input or a prefix of one.

        Empty input gives an empty list. Raises Overloaded, DeadlineExceeded, Unavailable, and BadDependency for a
        remote model that answers nonsense.
        """
        ...


class ChatModel(Protocol):
    """Writes an answer. Safe to call concurrently."""

    @property
    def name(self) -> str:
        """The model as the lineage of an answer names it."""
        ...

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """Text, reasoning and tool calls in order, at most one Usage, and Finished last: without it, it was cut off.

        A wish that cannot be had raises InvalidInput before anything is asked where the answer would be another one
        (tools, images, a form); else (a seed) it is left out and named in Finished. Closing the iterator cancels the
        work. Raises also BadDependency, Unavailable, DeadlineExceeded, QuotaExceeded.
        """
        ...


class Answers(Protocol):
    """Answers questions, event by event. Safe to call concurrently."""

    def recall(self, query: Query) -> Answer | None:
        """The kept answer to this very question where one holds without a search, which is most of them; else None.

        Costs next to nothing and waits for nothing. `answer` would give the same. Raises InvalidInput, Forbidden.
        """
        ...

    def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """SourcesFound, text and citations as they come, Usage, and Answered last.

        Without `stream` nothing is given out before the model has ended, so that a model that fails half-way can be
        replaced. Closing the generator cancels the work. Raises InvalidInput, LoadError, DependencyError.
        """
        ...
