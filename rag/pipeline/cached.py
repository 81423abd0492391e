"""The recipe with a memory: a question is not answered twice while what its answer rests on is the same."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec.structs import replace

from cache import policy
from cache.config import MemoryConfig
from cache.entry import Hit, Question, context_of, entry_of
from cache.evidence import same_context
from cache.flights import Flights
from cache.key import CacheKey, answer_key
from cache.memory import AnswerMemory
from rag.base.deadline import Clock, Deadline
from rag.base.types import Answer, Answered, AnswerEvent, CacheTier, Cited, Query, Recall, SourcesFound, TextDelta
from rag.govern.access import readable_by
from rag.pipeline.answer import Answerer, Prepared


class CachedAnswerer:
    """An answerer around another one.

    `epoch` grows with every change of the index that a reader can see; None where nobody can tell, and then every
    answer is held against a fresh search. `build` stands for the settings that make answers.
    """

    def __init__(
        self,
        answerer: Answerer,
        memory: AnswerMemory,
        config: MemoryConfig,
        *,
        epoch: Callable[[], int | None],
        build: str = "",
        clock: Clock = time.time,
    ) -> None:
        self._answerer = answerer
        self._memory = memory
        self._config = config
        self._epoch = epoch
        self._build = build
        self._clock = clock
        self._flights: Flights[AnswerEvent] = Flights()

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """The events of `Answerer.answer`, from memory where an answer is there that still holds.

        The mode "read" keeps nothing, "write" does not look, "refresh" forgets what is there first, and "off" has
        nothing to do with the memory.
        """
        if query.cache == "off":
            async with aclosing(self._answerer.answer(query, deadline, stream=stream)) as events:
                async for event in events:
                    yield event
            return
        key = answer_key(query, readable_by(query.principal), self._answerer.lineage_of(query), self._build)
        hit = self._unchanged(key, query)
        if hit:
            for event in self._replayed(hit, "exact"):
                yield event
            return
        if query.cache == "refresh":
            self._memory.drop(key.digest)
        flight = (key.canonical, stream, query.cache, query.cache_max_age_s, query.cache_min_similarity)
        async with aclosing(
            self._flights.join(flight, lambda: self._checked(key, query, deadline, stream=stream))
        ) as told:
            async for event in told:
                yield event

    def _unchanged(self, key: CacheKey, query: Query) -> Hit | None:
        """The kept answer, if the index is as it was when that was found to hold."""
        epoch = self._epoch()
        if not policy.reads(query) or epoch is None:
            return None
        hit = self._memory.get(key, query.cache_max_age_s)
        return hit if hit and self._memory.is_checked(hit.entry, epoch) else None

    async def _checked(
        self, key: CacheKey, query: Query, deadline: Deadline, *, stream: bool
    ) -> AsyncGenerator[AnswerEvent, None]:
        """The kept answer, if a fresh search finds for it what it was written from; else a new one from that search."""
        epoch = self._epoch()  # before the search: what changes meanwhile makes the answer one of an earlier state
        prepared = await self._answerer.prepare(query, deadline)
        recall = Recall(status="miss")
        hit = self._memory.get(key, query.cache_max_age_s) if policy.reads(query) else None
        if hit and same_context(hit.entry.evidence, context_of(prepared.prompt.sources)):
            self._memory.check(hit.entry, epoch)
            for event in self._replayed(hit, "exact"):
                yield event
            return
        if hit:
            recall = replace(recall, rejected_by="evidence")
            if not prepared.found.degraded:
                self._memory.drop(key.digest)
        async with aclosing(self._answerer.write(prepared, deadline, stream=stream)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    self._keep(key, query, prepared, event.answer, epoch)
                    yield Answered(answer=replace(event.answer, cache=recall))
                elif isinstance(event, SourcesFound):
                    yield replace(event, cache=recall)
                else:
                    yield event

    def _keep(self, key: CacheKey, query: Query, prepared: Prepared, answer: Answer, epoch: int | None) -> None:
        if not policy.writes(query) or policy.unfit(query, answer, self._config):
            return
        ttl_s = policy.ttl_s(query, self._config, query.model or "")
        question = Question(prepared.found.question, prepared.found.vector)
        entry = entry_of(key, question, answer, now_s=self._clock(), ttl_s=ttl_s)
        self._memory.put(entry, epoch)

    def _replayed(self, hit: Hit, tier: CacheTier) -> list[AnswerEvent]:
        """The events of a kept answer: what a reader would have seen, in one piece."""
        self._memory.use(hit.entry)
        kept = hit.entry.answer
        recall = Recall(
            status="hit", tier=tier, age_s=hit.age_s, similarity=hit.similarity, saved_s=sum(kept.stages_s.values())
        )
        answer = replace(kept, cache=recall, stages_s={})
        return [
            SourcesFound(sources=answer.sources, cache=recall),
            TextDelta(text=answer.text),
            *(Cited(citation=citation) for citation in answer.citations),
            answer.usage,
            Answered(answer=answer),
        ]
