"""Spans: what happened in a request, when, and because of what. Recorded by ourselves, exported as OpenTelemetry.

Recording is cheap, so every request is recorded; whether its trace is kept is decided at its end, when it is known
whether it failed, fell back or was slow. What a span tells (`Describe`) is put into words for kept traces only.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Literal, Self

from msgspec import Struct

Kind = Literal["server", "internal", "client"]
Attribute = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Attribute]
Reveal = Callable[[str], str]
"""How a text may be shown in a span: redacted."""
Describe = Callable[[Reveal | None], Attributes]
"""The attributes of a span; texts only where `Reveal` says how."""

MAX_SPANS = 1_000
"""Of one trace; a long ingestion makes more, and the first ones say what it does."""

MAX_ATTRIBUTES = 1_024
"""Of one span, so that a list of documents never pushes out what kind of span it is. OpenTelemetry's default is 128."""


class Point(Struct, frozen=True):
    """A span, from wherever it is: the ids of W3C trace context."""

    trace_id: int
    span_id: int
    is_sampled: bool = True


class Span:
    """One step of a trace, open inside of `with`. `describe` says what it did, and `failed` why it did not."""

    __slots__ = (
        "_token",
        "describe",
        "ended_ns",
        "failed",
        "id",
        "kind",
        "links",
        "name",
        "parent_id",
        "started_ns",
        "told",
        "trace",
        "tried",
    )

    def __init__(self, trace: "Trace", name: str, kind: Kind, parent_id: int | None, started_ns: int) -> None:
        self.trace = trace
        self.id = random.getrandbits(64)
        self.name = name
        self.kind = kind
        self.parent_id = parent_id
        self.started_ns = started_ns
        self.ended_ns = 0
        self.failed: BaseException | None = None
        self.describe: Describe | None = None
        self.links: tuple[Point, ...] = ()
        self.told: Any = None  # of a batch: its form in every trace that it served
        self.tried: list[Any] | None = None  # of a route: the targets that were asked, as whoever hears of them notes
        self._token: Token[Span | None] | None = None

    @property
    def point(self) -> Point:
        """What others need to refer to it."""
        return Point(self.trace.id, self.id, self.trace.is_sampled)

    def __enter__(self) -> Self:
        self._token = CURRENT.set(self)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        assert self._token is not None, "it was entered"
        CURRENT.reset(self._token)
        end(self, error)


class Trace:
    """The spans of one request, by their end. `batches` are shared with other traces and link to their spans."""

    __slots__ = ("batches", "id", "is_sampled", "notable", "owner", "request_id", "root", "spans", "tracer")

    def __init__(self, tracer: "Tracer", identifier: int, *, is_sampled: bool) -> None:
        self.tracer = tracer
        self.id = identifier
        self.is_sampled = is_sampled
        self.notable = False
        self.request_id = ""
        self.owner: tuple[str, str] | None = None
        self.root: Span | None = None
        self.spans: list[Span] = []
        self.batches: list[Span] = []

    def forget(self) -> None:
        """Lets go of its spans, which hold it: a ring would be there until the collector of garbage comes by.

        A quarter of what an unsampled trace cost was that collector (`rag bench tracing`, 2026-11-23).
        """
        self.root, self.spans, self.batches = None, [], []


Ended = Callable[[Trace], None]

CURRENT: ContextVar[Span | None] = ContextVar("groundwire_span", default=None)
"""The span that is open here."""


class Tracer:
    """Opens spans, and gives every trace that is to be kept to `ended`, in which nothing may wait or raise."""

    def __init__(
        self,
        ended: Ended,
        *,
        sample: float = 1.0,
        slow_s: float = float("inf"),
        clock: Callable[[], int] = time.time_ns,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._ended = ended
        self._sample = sample
        self._slow_ns = slow_s * 1e9
        self._draw = draw
        self.clock = clock

    def request(self, name: str, kind: Kind, caller: Point | None = None) -> Span:
        """The first span of a trace, of the caller's trace if it sent one; its end decides what is kept.

        Inside of another span, a step of that one.
        """
        if CURRENT.get() is not None:
            return self.step(name, kind)
        is_sampled = caller.is_sampled if caller else self._draw() < self._sample
        trace = Trace(self, caller.trace_id if caller else random.getrandbits(128), is_sampled=is_sampled)
        trace.root = Span(trace, name, kind, caller.span_id if caller else None, self.clock())
        return trace.root

    def step(self, name: str, kind: Kind = "internal") -> Span:
        """A span below the one that is open here; outside of any, the first of a trace of its own."""
        parent = CURRENT.get()
        return self.request(name, kind) if parent is None else Span(parent.trace, name, kind, parent.id, self.clock())

    def finish(self, trace: Trace) -> None:
        """The trace is over: gives it on if it is to be kept."""
        root = trace.root
        trace.notable = trace.notable or (root is not None and root.ended_ns - root.started_ns > self._slow_ns)
        if trace.is_sampled or trace.notable:
            self._ended(trace)
        trace.forget()

    def begin(self, name: str, kind: Kind = "internal") -> Span:
        """A span below the one that is open here, itself open nowhere, for streams: see `spanned`."""
        parent = CURRENT.get()
        assert parent is not None, "outside of a trace there is nothing to stand below"
        return Span(parent.trace, name, kind, parent.id, self.clock())


def below(parent: Span, name: str) -> Span:
    """A span for what was done since the last step below `parent` ended, where it is only known now that it is over."""
    now_ns = parent.trace.tracer.clock()
    ends = [span.ended_ns for span in parent.trace.spans if span.parent_id == parent.id]
    span = Span(parent.trace, name, "internal", parent.id, max([parent.started_ns, *ends]))
    span.ended_ns = now_ns
    _keep(span)
    return span


def end(span: Span, failed: BaseException | None = None) -> None:
    """Ends a span and puts it into its trace, which the first one ends. A failure makes the trace one to keep."""
    trace = span.trace
    span.ended_ns = trace.tracer.clock()
    if failed is not None:
        span.failed = failed
        trace.notable = trace.notable or isinstance(failed, Exception)  # one who leaves is no failure
    _keep(span)
    if trace.root is span:
        trace.tracer.finish(trace)


def _keep(span: Span) -> None:
    if len(span.trace.spans) < MAX_SPANS:
        span.trace.spans.append(span)


@contextmanager
def batch(name: str, served: Sequence[Span | None]) -> Iterator[Span | None]:
    """Opens one span for work that serves several others at once, with a link to each of them.

    Below the one it serves if that is alone, else in a trace of its own, that is kept with any of those it links to.
    """
    spans = list(dict.fromkeys(span for span in served if span is not None))
    if not spans:
        token = CURRENT.set(None)  # not below whoever happened to start the batch
        try:
            yield None
        finally:
            CURRENT.reset(token)
        return
    first = spans[0]
    tracer = first.trace.tracer
    is_alone = len(spans) == 1
    trace = first.trace if is_alone else Trace(tracer, random.getrandbits(128), is_sampled=first.trace.is_sampled)
    shared = Span(trace, name, "client", first.id if is_alone else None, tracer.clock())
    shared.links = tuple(span.point for span in spans)
    with shared:
        yield shared
    if not is_alone:
        for one in {id(span.trace): span.trace for span in spans}.values():
            one.batches.extend(trace.spans)
        trace.forget()


def trace_id() -> str | None:
    """The id of the trace that goes on here, in hex."""
    span = CURRENT.get()
    return None if span is None else f"{span.trace.id:032x}"


def sampled_trace_id() -> str | None:
    """The same, if the trace is one that will be kept in any case."""
    span = CURRENT.get()
    return trace_id() if span is not None and span.trace.is_sampled else None


def current() -> Point | None:
    """The span that is open here."""
    span = CURRENT.get()
    return None if span is None else span.point
