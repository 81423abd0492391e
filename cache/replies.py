"""Models asked through the gateway, with a memory: the very same request is not sent to a provider twice.

Only whole requests count here, word for word. What two requests mean is not compared: in front of a model there is no
evidence that could tell when an answer to other words would be wrong.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace

from cache.config import MemoryConfig
from cache.flights import Flights
from cache.reply import Reply, Wish, in_pieces, is_fit, passed_by, request_of, ttl_s
from cache.reply_memory import ReplyMemory
from rag.base.answers import Recall, SourcesFound
from rag.base.deadline import Clock, Deadline
from rag.base.events import Closing
from rag.base.ports import ChatModel
from rag.base.types import Finished, ModelEvent, Prompt, Usage

ReplyEvent = SourcesFound | ModelEvent
"""SourcesFound, which has none, comes first and says what the memory has to do with the reply."""


class ReplyReport(Struct, frozen=True, kw_only=True):
    """What is kept now, and what happened since the start; `bypassed` requests were not looked up."""

    entries: int = 0
    bytes: int = 0
    max_bytes: int = 0
    lookups: int = 0
    hits: int = 0
    bypassed: int = 0
    saved_s: float = 0.0
    saved_usd: float = 0.0


class Replies:
    """The kept replies of one process. For one event loop.

    `build` stands for the settings that make replies, `price` tells what a call of the model so named cost in dollars,
    `told` hears of every request, and `clock` is the time of day in seconds.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        build: Callable[[], str] = str,
        price: Callable[[str, Usage], float | None] = lambda _model, _usage: None,
        told: Callable[[Recall], None] = lambda _: None,
        clock: Clock = time.time,
    ) -> None:
        self._config = config
        self._build = build
        self._price = price
        self._told = told
        self._clock = clock
        self._memory = ReplyMemory(config.replies.max_bytes, clock)
        self._flights: Flights[ModelEvent] = Flights()
        self._since_start = ReplyReport(max_bytes=config.replies.max_bytes)

    def keeps(self, name: str) -> bool:
        """Whether replies of this model or route are kept."""
        return name in self._config.replies.models

    async def answer(
        self, name: str, model: ChatModel, prompt: Prompt, wish: Wish, deadline: Deadline
    ) -> AsyncGenerator[ReplyEvent, None]:
        """What the model says, or said to the same request. Equal requests in flight are sent once.

        Raises what the model raises.
        """
        reason = passed_by(prompt, wish, self._config.replies)
        if reason or wish.mode == "off":
            yield self._begun(Recall(status="bypass", rejected_by=reason) if reason else Recall())
            async with Closing(model.stream(prompt, deadline)) as events:
                async for event in events:
                    yield event
            return
        request = request_of(name, prompt, self._build(), self._config.replies)
        kept = self._memory.get(request, wish.max_age_s) if wish.mode in ("use", "read") else None
        if kept:
            yield self._begun(self._recall(kept))
            for event in kept.events:
                yield event
            return
        if wish.mode == "refresh":
            self._memory.drop(request)
        yield self._begun(Recall(status="miss"))
        flight = self._flights.join((request, wish.mode), lambda: self._said(request, model, prompt, wish, deadline))
        async with aclosing(flight) as said:
            async for event in said:
                yield event

    def clear(self, tenant: str) -> int:
        """Forgets every reply of a tenant, and returns how many those were."""
        return self._memory.clear(tenant)

    def report(self) -> ReplyReport:
        """The numbers of this process."""
        return replace(self._since_start, entries=len(self._memory), bytes=self._memory.n_bytes)

    async def _said(
        self, request: bytes, model: ChatModel, prompt: Prompt, wish: Wish, deadline: Deadline
    ) -> AsyncGenerator[ModelEvent, None]:
        """What the model says now, kept when it is whole."""
        said: list[ModelEvent] = []
        began_s = time.monotonic()
        async with Closing(model.stream(prompt, deadline)) as events:
            async for event in events:
                said.append(event)
                yield event
        if wish.mode != "read" and is_fit(prompt, said, self._config):
            self._memory.put(
                Reply(
                    request=request,
                    tenant=prompt.tenant,
                    events=in_pieces(said),
                    stored_at_s=self._clock(),
                    ttl_s=ttl_s(prompt, self._config),
                    saved_s=time.monotonic() - began_s,
                    saved_usd=self._cost_usd(said),
                )
            )

    def _cost_usd(self, said: Sequence[ModelEvent]) -> float | None:
        usage = next((event for event in said if isinstance(event, Usage)), None)
        model = next(event.model for event in said if isinstance(event, Finished))
        return self._price(model, usage) if usage else None

    def _recall(self, reply: Reply) -> Recall:
        age_s = self._memory.age_s(reply)
        return Recall(status="hit", tier="exact", age_s=age_s, saved_s=reply.saved_s, saved_usd=reply.saved_usd)

    def _begun(self, recall: Recall) -> SourcesFound:
        """The first event of a reply, counted."""
        until_now = self._since_start
        self._since_start = replace(
            until_now,
            lookups=until_now.lookups + (recall.status in ("hit", "miss")),
            hits=until_now.hits + (recall.status == "hit"),
            bypassed=until_now.bypassed + (recall.status in ("bypass", "off")),
            saved_s=until_now.saved_s + (recall.saved_s or 0.0),
            saved_usd=until_now.saved_usd + (recall.saved_usd or 0.0),
        )
        self._told(recall)
        return SourcesFound(sources=(), cache=recall)
