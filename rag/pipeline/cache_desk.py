"""What operators and the curious ask of the answer cache: how it does, what it would do, and to forget."""

import math
from collections.abc import Callable

from msgspec import Struct

from cache.config import MemoryConfig
from cache.entry import Hit, context_of
from cache.evidence import same_context
from cache.factory import Remembered
from cache.replies import Replies
from cache.semantic import CANDIDATES, judge
from cache.tally import CacheReport
from rag.base.deadline import Deadline
from rag.base.types import Query
from rag.pipeline.answer import Answerer, Prepared
from rag.pipeline.cached import asked_of, key_of


class Near(Struct, frozen=True, kw_only=True):
    """A kept question that is near; `rejected_by` says why its answer would not be served, None that it would."""

    question: str
    similarity: float | None
    age_s: float
    rejected_by: str | None


class Explanation(Struct, frozen=True, kw_only=True):
    """What the cache has for a question: the same one if it is kept, and others that are near."""

    exact: Near | None
    nearest: tuple[Near, ...]


class CacheDesk:
    """The answer cache of one process, seen from outside."""

    def __init__(
        self,
        answerer: Answerer,
        remembered: Remembered,
        replies: Replies,
        config: MemoryConfig,
        build: Callable[[], str],
    ) -> None:
        self._answerer = answerer
        self._remembered = remembered
        self._replies = replies
        self._config = config
        self._build = build

    def report(self) -> CacheReport:
        """The numbers of this process."""
        memory, tally = self._remembered.memory, self._remembered.tally
        floor = self._remembered.ledger.loose_floor()
        return CacheReport(
            entries=len(memory),
            bytes=memory.n_bytes,
            max_bytes=self._config.max_bytes,
            lookups=tally.n_lookups,
            hits=dict(tally.hits),
            hit_rate=tally.hits.total() / tally.n_lookups if tally.n_lookups else None,
            rejected_by=dict(tally.rejected_by.most_common()),
            saved_s=tally.saved_s,
            saved_usd=tally.saved_usd,
            estimates=self._remembered.ledger.estimates(),
            loose_floor=None if math.isinf(floor) else floor,
            replies=self._replies.report(),
        )

    def clear(self, tenant: str) -> int:
        """Forgets every answer and reply of a tenant, and returns how many those were."""
        return self._remembered.clear(tenant) + self._replies.clear(tenant)

    async def explain(self, query: Query, deadline: Deadline) -> Explanation:
        """What would be served to this caller, and why not what would not. Answers nothing and keeps nothing."""
        prepared = await self._answerer.prepare(query, deadline)
        key = key_of(self._answerer, query, self._build(), prepared)
        same = self._remembered.memory.get(key, query.cache_max_age_s)
        near = self._remembered.memory.near(key, prepared.found.vector, CANDIDATES)
        asked = asked_of(query, prepared, self._config.semantic)
        verdicts = [
            (hit, judge(asked, hit, self._remembered.ledger)) for hit in near if hit.entry.key.digest != key.digest
        ]
        return Explanation(
            exact=_exactly(same, prepared) if same else None,
            nearest=tuple(_near(hit, verdict.rejected_by) for hit, verdict in verdicts),
        )


def _exactly(hit: Hit, prepared: Prepared) -> Near:
    holds = same_context(hit.entry.evidence, context_of(prepared.prompt.sources))
    return _near(hit, None if holds else "evidence")


def _near(hit: Hit, rejected_by: str | None) -> Near:
    return Near(question=hit.entry.question.text, similarity=hit.similarity, age_s=hit.age_s, rejected_by=rejected_by)
