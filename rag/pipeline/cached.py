"""The recipe with a memory: a question is not answered twice while what its answer rests on is the same."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from msgspec.structs import replace

from cache import policy
from cache.config import MemoryConfig, SemanticConfig
from cache.entry import Hit, Life, Question, context_of, entry_of, evidence_of
from cache.evidence import same_context
from cache.factory import Remembered
from cache.flights import Flights
from cache.key import CacheKey, answer_key
from cache.risk import Observation, agree
from cache.semantic import CANDIDATES, Asked, Verdict, judged
from rag.base.answers import Answer, Answered, AnswerEvent, CacheTier, Cited, Recall, SourcesFound
from rag.base.deadline import Deadline
from rag.base.types import Query, TextDelta
from rag.govern.access import readable_by
from rag.pipeline.answer import Answerer, Prepared


class CachedAnswerer:
    """An answerer around another one.

    `epoch` grows with every change of the index that a reader can see; None where nobody can tell, and then every
    answer is held against a fresh search. `build` stands for the settings that make answers,
    `price` tells what one cost in dollars.
    """

    def __init__(
        self,
        answerer: Answerer,
        remembered: Remembered,
        config: MemoryConfig,
        *,
        epoch: Callable[[], int | None],
        build: Callable[[], str] = str,
        price: Callable[[Answer], float | None] = lambda _: None,
    ) -> None:
        self._answerer = answerer
        self._memory = remembered.memory
        self._ledger = remembered.ledger
        self._tally = remembered.tally
        self._shared = remembered.shared
        self._config = config
        self._epoch = epoch
        self._build = build
        self._price = price
        self._n_reworded = 0
        self._flights: Flights[AnswerEvent] = Flights()

    def recall(self, query: Query) -> Answer | None:
        """The kept answer, if the index is as it was when that was found to hold."""
        if not policy.reads(query):
            return None
        hit = self._unchanged(key_of(self._answerer, query, self._build()), query)
        return self._given(hit, "exact") if hit else None

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
        key = key_of(self._answerer, query, self._build())
        hit = self._unchanged(key, query)
        if hit:
            for event in replayed(self._given(hit, "exact")):
                yield event
            return
        if query.cache == "refresh":
            self._forget(key.digest)
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
        """A kept answer that a fresh search supports; else a new one from that search."""
        await self._fetch(key, query)
        epoch = self._epoch()  # before the search: what changes meanwhile makes the answer one of an earlier state
        build = self._build()
        prepared = await self._answerer.prepare(query, deadline)
        # Embedder, model and prompt may have been exchanged meanwhile: what is kept is kept among its own kind.
        key = key_of(self._answerer, query, build, prepared)
        verdict, tier = self._looked_up(key, query, prepared, epoch)
        if verdict.hit and verdict.rejected_by is None:
            for event in replayed(self._given(verdict.hit, tier)):
                yield event
            return
        recall = Recall(status="miss", similarity=verdict.similarity, rejected_by=verdict.rejected_by)
        self._tally.take(recall)
        async with aclosing(self._answerer.write(prepared, deadline, stream=stream)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    self._learn(verdict, event.answer)
                    self._keep(key, query, prepared, event.answer, epoch)
                    yield Answered(answer=replace(event.answer, cache=recall))
                elif isinstance(event, SourcesFound):
                    yield replace(event, cache=recall)
                else:
                    yield event

    async def _fetch(self, key: CacheKey, query: Query) -> None:
        """Takes in what another server keeps for the very question, to be held against the search like any other."""
        if self._shared and policy.reads(query) and self._memory.get(key) is None:
            entry = await self._shared.get(key)
            if entry and self._memory.get(key) is None:  # another request may have fetched it meanwhile
                self._memory.restore([entry])

    def _looked_up(
        self, key: CacheKey, query: Query, prepared: Prepared, epoch: int | None
    ) -> tuple[Verdict, CacheTier]:
        """What the memory has for the question now that the evidence is there."""
        if not policy.reads(query):
            return Verdict(), "exact"
        hit = self._memory.get(key, query.cache_max_age_s)
        if hit and same_context(hit.entry.evidence, context_of(prepared.prompt.sources)):
            self._memory.check(hit.entry, epoch)
            return Verdict(hit=hit), "exact"
        if hit and not prepared.found.degraded:
            self._forget(key.digest)
        verdict = self._reworded(key, query, prepared)
        if hit and verdict.hit is None:
            verdict = Verdict(rejected_by="evidence")
        return verdict, "semantic"

    def _reworded(self, key: CacheKey, query: Query, prepared: Prepared) -> Verdict:
        """The verdict on the nearest kept questions; a hit that is only to be compared has a `rejected_by`."""
        config = self._config.semantic
        if config.mode == "off" or prepared.found.degraded:
            return Verdict()
        asked = asked_of(query, prepared, config)
        verdict = judged(asked, self._memory.near(key, prepared.found.vector, CANDIDATES), self._ledger)
        if verdict.hit is None or verdict.rejected_by is not None:
            return verdict
        if config.mode == "shadow":
            return replace(verdict, rejected_by="shadow")
        self._n_reworded += 1
        is_due = int(self._n_reworded * config.verify_share) > int((self._n_reworded - 1) * config.verify_share)
        return replace(verdict, rejected_by="verification") if is_due else verdict

    def _learn(self, verdict: Verdict, fresh: Answer) -> None:
        """Compares an answer that was near with the one that was made all the same."""
        if verdict.hit is None or verdict.similarity is None or fresh.degraded:
            return
        entry = verdict.hit.entry
        right = agree(entry.answer, fresh)
        self._ledger.observe(entry.key.digest, Observation(verdict.similarity, verdict.match, right))

    def _forget(self, digest: bytes) -> None:
        self._memory.drop(digest)
        self._ledger.forget(digest)

    def _keep(self, key: CacheKey, query: Query, prepared: Prepared, answer: Answer, epoch: int | None) -> None:
        if not policy.writes(query) or policy.unfit(query, answer, self._config):
            return
        ttl_s = policy.ttl_s(query, self._config, query.model or "")
        question = Question(prepared.found.question, prepared.found.vector)
        life = Life(tenant=query.principal.tenant, stored_at_s=time.time(), ttl_s=ttl_s, cost_usd=self._price(answer))
        self._memory.put(entry_of(key, question, answer, life), epoch)

    def _given(self, hit: Hit, tier: CacheTier) -> Answer:
        """A kept answer as it is served, which counts as a hit."""
        self._memory.use(hit.entry)
        recall = Recall(
            status="hit",
            tier=tier,
            age_s=hit.age_s,
            similarity=hit.similarity,
            question=hit.entry.question.text if tier == "semantic" else None,
            saved_s=hit.entry.cost_s,
            saved_usd=hit.entry.cost_usd,
        )
        self._tally.take(recall)
        return replace(hit.entry.answer, cache=recall, stages_s={})


def replayed(answer: Answer) -> Iterator[AnswerEvent]:
    """The events of an answer that is there already, in one piece."""
    yield SourcesFound(sources=answer.sources, cache=answer.cache)
    yield TextDelta(text=answer.text)
    for citation in answer.citations:
        yield Cited(citation=citation)
    yield answer.usage
    yield Answered(answer=answer)


def key_of(answerer: Answerer, query: Query, build: str, prepared: Prepared | None = None) -> CacheKey:
    """The key under which an answer is kept that was `prepared`, or one to a question that is asked now.

    Raises InvalidInput for a model that is not there, or a prompt that may not be chosen.
    """
    lineage = answerer.lineage_from(prepared) if prepared else answerer.lineage_of(query)
    return answer_key(query, readable_by(query.principal), lineage, build)


def asked_of(query: Query, prepared: Prepared, config: SemanticConfig) -> Asked:
    """The question as kept ones are judged against it; a caller can only be stricter than the settings."""
    return Asked(
        text=prepared.found.question,
        context=context_of(prepared.prompt.sources),
        ranked=evidence_of(prepared.found.candidates),
        min_similarity=max(config.min_similarity, query.cache_min_similarity or 0.0),
        max_age_s=query.cache_max_age_s,
    )
