"""A cross-encoder behind HTTP: Cohere, Jina, vLLM, Infinity, or TEI."""

import asyncio
from collections.abc import Sequence

from rag.base.types import Work
from rag.infer.remote import Remote
from rerank.config import HttpRerankConfig
from rerank.wire import body_of, scores_of


class HttpScorer:
    """A `Scorer` over a remote cross-encoder, which does the queueing and batching."""

    def __init__(self, config: HttpRerankConfig, remote: Remote) -> None:
        self.name = f"{config.model}@{config.revision}" if config.revision else config.model
        self._config = config
        self._remote = remote

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See `rerank.scorer.Scorer`. Raises BadDependency for a reply that makes no sense."""
        size = self._config.batch_passages
        parts = [passages[at : at + size] for at in range(0, len(passages), size)]
        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(self._part(question, part, work)) for part in parts]
        except ExceptionGroup as failed:  # callers know errors, not groups of them
            raise failed.exceptions[0] from failed
        return [score for call in calls for score in call.result()]

    async def _part(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        config, remote = self._config, self._remote
        reply = await remote.post(body_of(config.dialect, config.model, question, passages), work.deadline)
        return scores_of(config.dialect, reply, len(passages), remote.target)
