"""From a question to ranked passages: embed, retrieve dense and BM25, rerank."""

import logging
from collections.abc import Mapping

from msgspec import Struct

from rag.base.deadline import Deadline
from rag.base.errors import DependencyError, LoadError, for_the_log
from rag.base.ports import Embedder, Reranker, Retrieval, Retriever, Vectors
from rag.base.stages import Stages
from rag.base.types import Candidate, Query, Work
from rag.govern.access import readable_by
from rag.pipeline.config import AnswerConfig
from rag.pipeline.distinct import distinct
from rag.pipeline.rewrite import standalone

_log = logging.getLogger(__name__)


class Found(Struct, frozen=True, kw_only=True):
    """Candidates, best first, all visible to the one who asked; `degraded` names stages that were skipped.

    `question` is what was searched for, and `vector` its embedding of shape (dimension,).
    """

    question: str
    vector: Vectors
    candidates: tuple[Candidate, ...]
    degraded: tuple[str, ...]
    stages_s: Mapping[str, float]


class Searcher:
    """The retrieval half of the query path. Safe to share between requests."""

    def __init__(self, embedder: Embedder, retriever: Retriever, reranker: Reranker, config: AnswerConfig) -> None:
        self.embedder = embedder
        self.reranker = reranker
        self._retriever = retriever
        self._config = config

    async def search(self, query: Query, deadline: Deadline, *, rerank: bool = True) -> Found:
        """At most `query.top_k` candidates. Raises Overloaded, DeadlineExceeded, Unavailable."""
        stages = Stages()
        work = Work(tenant=query.principal.tenant, deadline=deadline)
        question = standalone(query.text, query.history)
        with stages.stage("embed"):
            vectors = await self.embedder.embed([question], "query", work)
        reranks = rerank and self.reranker.name != "none"
        request = Retrieval(
            text=question,
            vector=vectors[0],
            access=readable_by(query.principal),
            filters=query.filters,
            limit=max(2 * query.top_k, self._config.n_candidates if reranks else 0),  # as repeats are left out
        )
        with stages.stage("retrieve"):
            candidates = distinct(await self._retriever.retrieve(request, work))
        degraded: tuple[str, ...] = ()
        if reranks:
            share = Work(tenant=work.tenant, deadline=deadline.share(self._config.rerank_share))
            with stages.stage("rerank"):
                try:
                    candidates = await self.reranker.rerank(question, candidates, query.top_k, share)
                except (DependencyError, LoadError) as error:
                    _log.warning("answered in the fused order: %s", for_the_log(error))
                    degraded = ("rerank",)
        return Found(
            question=question,
            vector=vectors[0],
            candidates=tuple(candidates[: query.top_k]),
            degraded=degraded,
            stages_s=stages.seconds(),
        )
