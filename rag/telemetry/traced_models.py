"""Models and routes with a span around each call; see `rag.telemetry.traced`."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from rag.base.deadline import Clock, Deadline
from rag.base.ports import ChatModel
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from rag.telemetry import model_attributes
from rag.telemetry.attributes import Peer
from rag.telemetry.model_attributes import Call, Tried
from rag.telemetry.spans import CURRENT, Span, Tracer, below, end
from rag.telemetry.told import class_of
from rag.telemetry.within import within

_CHAT, _ROUTE = "chat", "route"


class TracedRoute:
    """A route, itself a `ChatModel`, in the span `route {name}`, with the targets that were asked below it."""

    def __init__(self, alias: str, route: ChatModel, tracer: Tracer) -> None:
        self._alias = alias
        self._route = route
        self._tracer = tracer

    @property
    def name(self) -> str:
        """The route's own name."""
        return self._route.name

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port."""
        parent = CURRENT.get()
        if parent is None:
            async for event in self._route.stream(prompt, deadline):
                yield event
            return
        _tell_prompt(prompt, parent)
        span = self._tracer.begin(f"{_ROUTE} {self._alias}")
        span.tried = tried = list[Tried]()
        failed: BaseException | None = None
        try:
            async with aclosing(within(CURRENT, span, self._route.stream(prompt, deadline))) as events:
                async for event in events:
                    yield event
        except BaseException as error:
            failed = error
            raise
        finally:
            span.describe = lambda _: model_attributes.route(self._alias, tried)
            end(span, failed)


class TracedModel:
    """A `ChatModel` in the span `chat {model}`: one for all that it does for one prompt, its retries included.

    `price` says what usage costs in USD, where that is known.
    """

    def __init__(
        self,
        model: ChatModel,
        tracer: Tracer,
        peer: Peer,
        price: Callable[[Usage], float | None] = lambda _: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = model.name
        self._model = model
        self._tracer = tracer
        self._peer = peer
        self._price = price
        self._clock = clock

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port."""
        parent = CURRENT.get()
        if parent is None:
            async for event in self._model.stream(prompt, deadline):
                yield event
            return
        call = self._called(prompt, parent)
        span = self._tracer.begin(f"{_CHAT} {self.name}", "internal" if self._peer.kind == "extractive" else "client")
        failed: BaseException | None = None
        started_s = self._clock()
        try:
            async with aclosing(within(CURRENT, span, self._model.stream(prompt, deadline))) as events:
                async for event in events:
                    if call.first_chunk_s is None:
                        call.first_chunk_s = self._clock() - started_s
                    _note(call, event)
                    yield event
        except BaseException as error:
            failed = error
            raise
        finally:
            call.cost_usd = None if call.usage is None else self._price(call.usage)
            span.describe = partial(model_attributes.chat, call)
            end(span, failed)

    def _called(self, prompt: Prompt, parent: Span) -> Call:
        """The call, with what became of those before it for the same prompt."""
        earlier = _calls_below(parent)
        if not parent.name.startswith(_ROUTE):
            _tell_prompt(prompt, parent)
        failed = [
            (span.name.partition(" ")[2], class_of(span.failed))
            for span in earlier
            if isinstance(span.failed, Exception)
        ]
        return Call(
            peer=self._peer,
            model=self.name,
            prompt=prompt,
            attempt=len(earlier),
            failed_over=failed[-1] if failed else None,
        )


def _calls_below(parent: Span) -> list[Span]:
    return [
        span
        for span in parent.trace.spans
        if span.parent_id == parent.id and span.name.startswith((f"{_CHAT} ", f"{_ROUTE} "))
    ]


def _tell_prompt(prompt: Prompt, parent: Span) -> None:
    """The prompt was rendered just before the first call that it was rendered for; a caller's own was not rendered."""
    if "#" in prompt.template and not _calls_below(parent):
        rendered = below(parent, f"render_prompt {prompt.template.partition('#')[0]}")
        rendered.describe = partial(model_attributes.rendered, prompt)


def _note(call: Call, event: ModelEvent) -> None:
    match event:
        case TextDelta():
            call.text.append(event.text)
        case Usage():
            call.usage = event
        case Finished():
            call.finished = event
