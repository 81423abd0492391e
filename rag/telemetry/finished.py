"""A trace that is over, in the form in which it is kept, shown and exported."""

from functools import lru_cache
from typing import Any

from msgspec import Struct

from rag.telemetry.attributes import ERROR_TYPE
from rag.telemetry.hiding import hiding
from rag.telemetry.spans import MAX_ATTRIBUTES, Kind, Reveal, Span, Trace
from rag.telemetry.told import class_of


class FinishedSpan(Struct, frozen=True, kw_only=True):
    """One step. Ids are in hex; `links` are (trace, span) ids; `error` is the class of what made it fail."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: Kind
    started_ns: int
    duration_ns: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...] = ()
    error: str | None = None


class FinishedTrace(Struct, frozen=True, kw_only=True):
    """The spans of one request by their start, and the batches that it shared with others.

    `owner` is the (tenant, subject) that asked; None where nobody was let in.
    """

    trace_id: str
    request_id: str
    name: str
    owner: tuple[str, str] | None
    started_ns: int
    duration_ns: int
    error: str | None
    spans: tuple[FinishedSpan, ...]
    batches: tuple[FinishedSpan, ...]

    @property
    def ended_ns(self) -> int:
        """When it was over."""
        return self.started_ns + self.duration_ns


def finished(trace: Trace, reveal: Reveal | None, hidden: tuple[str, ...] = ()) -> FinishedTrace:
    """Puts a trace into words; texts are told only where `reveal` says how, and not where their name is `hidden`."""
    root, reveal = trace.root, lru_cache(reveal) if reveal else None  # a passage is told by several spans
    assert root is not None, "a trace ends with its root"
    return FinishedTrace(
        trace_id=f"{trace.id:032x}",
        request_id=trace.request_id,
        name=root.name,
        owner=trace.owner,
        started_ns=root.started_ns,
        duration_ns=root.ended_ns - root.started_ns,
        error=next((class_of(span.failed) for span in trace.spans if isinstance(span.failed, Exception)), None),
        spans=tuple(_finished(span, reveal, hidden) for span in sorted(trace.spans, key=lambda span: span.started_ns)),
        batches=tuple(_shared(span, reveal, hidden) for span in trace.batches),
    )


def _shared(span: Span, reveal: Reveal | None, hidden: tuple[str, ...]) -> FinishedSpan:
    """Put into words once, for all of the traces that it is a part of."""
    if span.told is None:
        span.told = _finished(span, reveal, hidden)
    told: FinishedSpan = span.told
    return told


def _finished(span: Span, reveal: Reveal | None, hidden: tuple[str, ...]) -> FinishedSpan:
    told = dict(span.describe(reveal)) if span.describe else {}
    if reveal and hidden:
        told = dict(hiding(told, hidden))
    error = class_of(span.failed) if isinstance(span.failed, Exception) else None
    if error is not None:
        told[ERROR_TYPE] = error
    attributes = told if len(told) <= MAX_ATTRIBUTES else dict(list(told.items())[:MAX_ATTRIBUTES])
    return FinishedSpan(
        trace_id=f"{span.trace.id:032x}",
        span_id=f"{span.id:016x}",
        parent_id=None if span.parent_id is None else f"{span.parent_id:016x}",
        name=span.name,
        kind=span.kind,
        started_ns=span.started_ns,
        duration_ns=span.ended_ns - span.started_ns,
        attributes=attributes,
        links=tuple((f"{point.trace_id:032x}", f"{point.span_id:016x}") for point in span.links),
        error=error,
    )
