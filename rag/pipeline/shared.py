"""The recipe without a memory: equal questions in flight are still answered once."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from cache.flights import Flights
from cache.key import answer_key
from rag.base.answers import Answer, AnswerEvent
from rag.base.deadline import Deadline
from rag.base.types import Query
from rag.govern.access import readable_by
from rag.pipeline.answer import Answerer


class SharedAnswerer:
    """An answerer around another one that keeps nothing. The cache mode "off" asks for a run of one's own."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._flights: Flights[AnswerEvent] = Flights()

    def recall(self, query: Query) -> Answer | None:
        """Nothing: nothing is kept."""
        return None

    async def answer(self, query: Query, deadline: Deadline, *, stream: bool) -> AsyncGenerator[AnswerEvent, None]:
        """The events of `Answerer.answer`."""
        if query.cache == "off":
            told = self._answerer.answer(query, deadline, stream=stream)
        else:
            key = answer_key(query, readable_by(query.principal), self._answerer.lineage_of(query), "")
            told = self._flights.join(
                (key.canonical, stream), lambda: self._answerer.answer(query, deadline, stream=stream)
            )
        async with aclosing(told) as events:
            async for event in events:
                yield event
