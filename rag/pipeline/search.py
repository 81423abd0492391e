"""From a question to ranked passages: embed, retrieve dense and BM25, rerank."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.errors import DependencyError, LoadError, for_the_log
from rag.base.ports import Embedder, Reranker, Retrieval, Retriever, Vectors
from rag.base.stages import Stages
from rag.base.types import Candidate, Query, Work
from rag.govern.access import readable_by
from rag.govern.ladder import Effort
from rag.pipeline.config import AnswerConfig
from rag.pipeline.distinct import distinct
from rag.pipeline.rewrite import standalone
from rag.pipeline.space import Space

_log = logging.getLogger(__name__)

FEWER: Final = 8
"""Candidates that are reranked under pressure: two fifths of what the shipped cross-encoder reads otherwise."""

Admit = Callable[[str], AbstractContextManager[Effort]]
"""Lets work of a tenant in and says with how much effort. Raises Overloaded, QuotaExceeded."""


def at_once(_: str) -> AbstractContextManager[Effort]:
    """Lets all work in, for all its effort."""
    return nullcontext("full")


class Found(Struct, frozen=True, kw_only=True):
    """Candidates, best first, all visible to the one who asked; `degraded` names stages that were skipped.

    `question` is what was searched for, and `vector` its embedding of shape (dimension,) by `embedder`.
    """

    question: str
    vector: Vectors
    candidates: tuple[Candidate, ...]
    degraded: tuple[str, ...]
    stages_s: Mapping[str, float]
    embedder: str = ""


class Searcher:
    """The retrieval half of the query path. Safe to share between requests."""

    def __init__(
        self,
        embedder: Embedder,
        retriever: Retriever,
        reranker: Reranker,
        config: AnswerConfig,
        admit: Admit = at_once,
    ) -> None:
        self._space = Space(embedder, retriever)
        self.reranker = reranker
        self._config = config
        self._admit = admit

    @property
    def embedder(self) -> Embedder:
        """What embeds the questions that come from now on."""
        return self._space.embedder

    def exchange(self, space: Space) -> Space:
        """Sends all questions that come from now on into another space, and returns the one until now.

        Those that are under way end where they began.
        """
        until_now, self._space = self._space, space
        return until_now

    async def search(self, query: Query, deadline: Deadline, *, rerank: bool = True) -> Found:
        """At most `query.top_k` candidates. Raises Overloaded, QuotaExceeded, DeadlineExceeded, Unavailable."""
        with self._admit(query.principal.tenant) as effort:
            wanted: Effort = effort if rerank and self.reranker.name != "none" else "none"
            space = self._space
            with space.entered():
                found = await self._found(space, query, deadline, wanted)
        if rerank and self.reranker.name != "none" and effort == "none":
            return replace(found, degraded=("rerank",))
        return found

    async def _found(self, space: Space, query: Query, deadline: Deadline, effort: Effort) -> Found:
        stages = Stages()
        work = Work(tenant=query.principal.tenant, deadline=deadline, is_alone=space.has_one_question)
        question = standalone(query.text, query.history)
        with stages.stage("embed"):
            vectors = await space.embedder.embed([question], "query", work)
        request = Retrieval(
            text=question,
            vector=vectors[0],
            access=readable_by(query.principal),
            filters=query.filters,
            limit=max(query.top_k, 0 if effort == "none" else self._config.n_candidates),
            with_vectors=effort != "none",
        )
        work = replace(work, is_alone=space.has_one_question)  # others may have come meanwhile
        with stages.stage("retrieve"):
            candidates = await _distinct(space.retriever, request, query.top_k, work)
        degraded: tuple[str, ...] = ()
        if effort != "none":
            share = Work(tenant=work.tenant, deadline=deadline.share(self._config.rerank_share))
            n_read = FEWER if effort == "fewer" else len(candidates)
            with stages.stage("rerank"):
                candidates, degraded = await self._reranked(question, candidates, n_read, share)
        return Found(
            question=question,
            vector=vectors[0],
            candidates=tuple(candidates[: query.top_k]),
            degraded=degraded,
            stages_s=stages.seconds(),
            embedder=space.embedder.name,
        )

    async def _reranked(
        self, question: str, candidates: list[Candidate], n_read: int, work: Work
    ) -> tuple[list[Candidate], tuple[str, ...]]:
        """The candidates with the best `n_read` in a better order, and what was left out of it."""
        read, others = candidates[:n_read], candidates[n_read:]
        try:
            better = await self.reranker.rerank(question, read, len(read), work)
        except (DependencyError, LoadError) as error:
            _log.warning("answered in the fused order: %s", for_the_log(error))
            return candidates, ("rerank",)
        return [*better, *others], ("rerank_depth",) if others else ()


async def _distinct(retriever: Retriever, request: Retrieval, top_k: int, work: Work) -> list[Candidate]:
    """Candidates without repeats. Where those leave too few, twice as many are looked for, once."""
    found = await retriever.retrieve(request, work)
    kept = distinct(found)
    if len(kept) < top_k and len(found) == request.limit:
        kept = distinct(await retriever.retrieve(replace(request, limit=2 * request.limit), work))
    return kept
