"""Models and routes with a span around each call; see `rag.telemetry.traced`."""

import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from rag.base.deadline import Clock, Deadline
from rag.base.ports import ChatModel
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from rag.telemetry import model_attributes
from rag.telemetry.attributes import Peer
from rag.telemetry.model_attributes import Call, Tried
from rag.telemetry.spans import CURRENT, Kind, Span, Tracer, below
from rag.telemetry.spent import Price
from rag.telemetry.told import class_of
from rag.telemetry.within import spanned

CHAT: Final = "chat "
ROUTE: Final = "route "
SUMMARY: Final = "summarise_history "


class TracedRoute:
    """A route, itself a `ChatModel`, in the span `route {name}`, with the targets that were asked below it.

    Another `span` is for one that is asked by the way, and is no attempt at what was asked.
    """

    def __init__(self, alias: str, route: ChatModel, tracer: Tracer, span: str = ROUTE) -> None:
        self._alias = alias
        self._route = route
        self._tracer = tracer
        self._span = f"{span}{alias}"

    @property
    def name(self) -> str:
        """The route's own name."""
        return self._route.name

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port."""
        events, parent = self._route.stream(prompt, deadline), CURRENT.get()
        if parent is None:
            return events
        if not _calls_below(parent):
            _tell_prompt(prompt, parent)
        span = self._tracer.begin(self._span)
        span.tried = tried = list[Tried]()
        span.describe = lambda _: model_attributes.route(self._alias, tried)
        return spanned(span, events)


class TracedModel:
    """A `ChatModel` in the span `chat {model}`: one for all that it does for one prompt, its retries included.

    `price` says what usage costs in USD, where that is known.
    """

    def __init__(
        self,
        model: ChatModel,
        tracer: Tracer,
        peer: Peer,
        price: Price = lambda _: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = model.name
        self._model = model
        self._tracer = tracer
        self._peer = peer
        self._price = price
        self._clock = clock
        self._span = f"{CHAT}{model.name}"
        self._kind: Kind = "internal" if peer.kind == "extractive" else "client"

    def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port."""
        events, parent = self._model.stream(prompt, deadline), CURRENT.get()
        if parent is None:
            return events
        earlier = _calls_below(parent)
        if not earlier and not parent.name.startswith((ROUTE, SUMMARY)):
            _tell_prompt(prompt, parent)
        call = Call(
            peer=self._peer,
            model=self.name,
            prompt=prompt,
            attempt=len(earlier),
            failed_over=next(filter(None, map(_failed, reversed(earlier))), None),
        )
        span = self._tracer.begin(self._span, self._kind)
        span.describe = lambda reveal: model_attributes.chat(call, self._price, reveal)
        return spanned(span, events, self._noting(call))

    def _noting(self, call: Call) -> Callable[[ModelEvent], None]:
        started_s = self._clock()

        def note(event: ModelEvent) -> None:
            if call.first_chunk_s is None:
                call.first_chunk_s = self._clock() - started_s
            match event:
                case TextDelta():
                    call.text.append(event.text)
                case Usage():
                    call.usage = event
                case Finished():
                    call.finished = event

        return note


def _calls_below(parent: Span) -> list[Span]:
    return [span for span in parent.trace.spans if span.parent_id == parent.id and span.name.startswith((CHAT, ROUTE))]


def _failed(span: Span) -> tuple[str, str] | None:
    """The model that failed in it, and how."""
    failed = span.failed
    return (span.name.partition(" ")[2], class_of(failed)) if isinstance(failed, Exception) else None


def _tell_prompt(prompt: Prompt, parent: Span) -> None:
    """The prompt was rendered just before the first call that it was rendered for; a caller's own was not rendered."""
    name, rendered, _ = prompt.template.partition("#")
    if rendered:
        below(parent, f"render_prompt {name}").describe = partial(model_attributes.rendered, prompt)
