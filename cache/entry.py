"""One kept answer, with what it rests on."""

from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from cache.key import CacheKey
from rag.base.answers import Answer
from rag.base.ports import Vectors
from rag.base.types import Candidate, Passage, Source

ENTRY_OVERHEAD_BYTES = 2_048
"""Objects around the texts of one entry, measured as about 1.6 kB with three citations (CPython 3.11, 2026-11-23)."""


class Life(Struct, frozen=True, kw_only=True):
    """For whom an entry is made, when, for how long it is good, and what it cost where that is known."""

    tenant: str
    stored_at_s: float
    ttl_s: float
    cost_usd: float | None = None


class Evidence(Struct, frozen=True, array_like=True):
    """A chunk that the answer was written from. Equal ones are the same words at the same place of the same version."""

    chunk_id: str
    document_id: str
    text_digest: bytes


class Question(Struct, frozen=True):
    """A question as it is searched for, with its embedding of shape (dimension,)."""

    text: str
    vector: Vectors


class Entry(Struct, frozen=True, kw_only=True):
    """An answer as it is kept.

    `evidence` is all that the model read, in its order; `cited` the part that the answer rests on. `stored_at_s` is
    the time of day, as entries outlive the process.
    """

    key: CacheKey
    tenant: str
    question: Question
    answer: Answer
    cost_usd: float | None
    evidence: tuple[Evidence, ...]
    cited: frozenset[Evidence]
    stored_at_s: float
    ttl_s: float

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        texts = [self.question.text, self.answer.text, *(citation.quote for citation in self.answer.citations)]
        texts += [source.text for source in self.answer.sources]
        fixed = ENTRY_OVERHEAD_BYTES + len(self.key.canonical) + 2 * self.question.vector.nbytes  # also in a matrix
        return fixed + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    @property
    def cost_s(self) -> float:
        """What it took to make."""
        return sum(self.answer.stages_s.values())


class Hit(Struct, frozen=True, kw_only=True):
    """An entry that may be served, and how old it is."""

    entry: Entry
    age_s: float
    similarity: float | None = None


def evidence_of(candidates: Iterable[Candidate]) -> tuple[Evidence, ...]:
    """The chunks of candidates, in their order."""
    return tuple(_evidence(candidate.passage) for candidate in candidates)


def context_of(sources: tuple[Source, ...]) -> tuple[Evidence, ...]:
    """The chunks that a model reads, in its order."""
    return tuple(evidence for source in sources for evidence in evidence_of(source.candidates))


def entry_of(key: CacheKey, question: Question, answer: Answer, life: Life) -> Entry:
    """The answer as it is kept: without the candidates, of which only the identity is needed again.

    An answer without citations rests on all that was read for it.
    """
    evidence = context_of(answer.sources)
    ids = {citation.chunk_id for citation in answer.citations}
    markers = {citation.marker for citation in answer.citations}
    cited = {
        one
        for source in answer.sources
        if source.marker in markers
        for one in evidence_of(source.candidates)
        if one.chunk_id in ids
    }
    return Entry(
        key=key,
        question=question,
        answer=replace(
            answer,
            candidates=(),
            sources=tuple(replace(source, candidates=()) for source in answer.sources),
        ),
        evidence=evidence,
        cited=frozenset(cited or evidence),
        tenant=life.tenant,
        stored_at_s=life.stored_at_s,
        ttl_s=life.ttl_s,
        cost_usd=life.cost_usd,
    )


def _evidence(passage: Passage) -> Evidence:
    """With all that a prompt shows of a chunk: one id may come to stand for other words when an index is rebuilt."""
    chunk = passage.chunk
    shown = "\0".join((passage.title, *chunk.headings, chunk.text)).encode("utf-8", "surrogatepass")
    return Evidence(chunk.id, chunk.document_id, blake2b(shown, digest_size=16).digest())
