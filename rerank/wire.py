"""The two shapes of a rerank call: Cohere's, which Jina, vLLM, Infinity and others speak too, and TEI's. Pure."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from rag.base.errors import BadDependency

Dialect: TypeAlias = Literal["cohere", "tei"]


class CohereRequest(Struct, frozen=True, kw_only=True):
    """All scores are asked for, and nothing else: Cohere's v2 refuses fields that it does not know with a 422."""

    model: str
    query: str
    documents: tuple[str, ...]
    top_n: int


class TeiRequest(Struct, frozen=True, kw_only=True):
    """Raw scores are logits; squashed ones would crowd at 0 and 1."""

    query: str
    texts: tuple[str, ...]
    raw_scores: bool = True
    truncate: bool = True


class _CohereResult(Struct, frozen=True):
    index: int
    relevance_score: float


class _CohereReply(Struct, frozen=True):
    results: list[_CohereResult]


class _TeiResult(Struct, frozen=True):
    index: int
    score: float


def body_of(dialect: Dialect, model: str, question: str, passages: Sequence[str]) -> bytes:
    """The request for the scores of all passages."""
    texts = tuple(passages)
    if dialect == "tei":
        return msgspec.json.encode(TeiRequest(query=question, texts=texts))
    return msgspec.json.encode(CohereRequest(model=model, query=question, documents=texts, top_n=len(texts)))


def scores_of(dialect: Dialect, reply: bytes, n_passages: int, target: str) -> list[float]:
    """One score per passage, in the order of the passages, whatever the order of the reply.

    Raises BadDependency unless every passage has exactly one.
    """
    try:
        scored = _scored(dialect, reply)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BadDependency(f"{target} answered with something that is no list of scores") from fault
    if len(scored) != n_passages:
        raise BadDependency(f"{target} gave {len(scored)} scores for {n_passages} passages")
    scores = dict(scored)
    if scores.keys() != set(range(n_passages)):
        raise BadDependency(f"{target} gave scores whose indexes are not 0 to {n_passages - 1}, each once")
    return [scores[index] for index in range(n_passages)]


def _scored(dialect: Dialect, reply: bytes) -> list[tuple[int, float]]:
    if dialect == "tei":
        return [(each.index, each.score) for each in msgspec.json.decode(reply, type=list[_TeiResult])]
    results = msgspec.json.decode(reply, type=_CohereReply).results
    return [(each.index, each.relevance_score) for each in results]
