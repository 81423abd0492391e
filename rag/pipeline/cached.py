"""The recipe with a memory: the same question is answered once while it is asked and while the index stays as it is."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec.structs import replace

from cache.exact import ExactCache, Hit, storable
from cache.flights import Flights
from cache.key import CacheKey, Scope, answer_key
from rag.base.deadline import Deadline
from rag.base.types import Answered, AnswerEvent, Cited, Query, SourcesFound, TextDelta
from rag.govern.access import readable_by
from rag.pipeline.answer import Answerer


class CachedAnswerer:
    """An answerer around another one. `epoch` must grow with every change of the index that a reader can see."""

    def __init__(self, answerer: Answerer, cache: ExactCache | None, epoch: Callable[[], int]) -> None:
        self._answerer = answerer
        self._cache = cache
        self._epoch = epoch
        self._flights: Flights[AnswerEvent] = Flights()

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """The events of `Answerer.answer`, from memory where they are there; then `cache` says "exact", else "miss".

        `query.cache` "refresh" answers anew and keeps the answer; "off" has nothing to do with the memory.
        """
        if query.cache == "off":
            async with aclosing(self._answerer.answer(query, deadline, stream=stream)) as events:
                async for event in events:
                    yield event
            return
        key = self._key(query)
        hit = self._cache.get(key) if self._cache is not None and query.cache == "use" else None
        if hit:
            for event in replayed(hit):
                yield event
            return
        flight = (key.canonical, stream, query.cache)
        async with aclosing(
            self._flights.join(flight, lambda: self._fresh(key, query, deadline, stream=stream))
        ) as told:
            async for event in told:
                yield event

    async def _fresh(
        self, key: CacheKey, query: Query, deadline: Deadline, *, stream: bool
    ) -> AsyncGenerator[AnswerEvent, None]:
        async with aclosing(self._answerer.answer(query, deadline, stream=stream)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    answer = replace(event.answer, cache="off" if self._cache is None else "miss")
                    if self._cache is not None and storable(answer):
                        self._cache.put(key, answer)
                    yield Answered(answer=answer)
                else:
                    yield event

    def _key(self, query: Query) -> CacheKey:
        lineage = self._answerer.lineage_of(query)
        scope = Scope(
            index=lineage.index,
            epoch=self._epoch(),
            embedder=lineage.embedder,
            reranker=lineage.reranker,
            template=lineage.template,
            model=lineage.model,
        )
        return answer_key(query, readable_by(query.principal), scope)


def replayed(hit: Hit) -> list[AnswerEvent]:
    """The events of a kept answer: what a reader would have seen, in one piece."""
    answer = replace(hit.answer, cache="exact", stages_s={})
    return [
        SourcesFound(sources=answer.sources),
        TextDelta(text=answer.text),
        *(Cited(citation=citation) for citation in answer.citations),
        answer.usage,
        Answered(answer=answer),
    ]
