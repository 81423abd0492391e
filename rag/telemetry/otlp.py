"""Finished traces to a collector, over OTLP/HTTP, with OpenTelemetry's own exporter. Needs the extra `otel`.

Nothing global is set: a program that has a tracer provider of its own keeps it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedSpan, FinishedTrace
from rag.telemetry.langfuse import langfuse_attributes, observed

OnDrop = Callable[[str, int], None]

QUEUE_SPANS: Final = 8_192
"""Spans that may wait for the collector; more are dropped, which the exporter's thread logs."""

_KINDS: Final = {"server": SpanKind.SERVER, "internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Counting(SpanExporter):
    """An exporter that says how many spans it lost."""

    def __init__(self, exporter: SpanExporter, on_drop: OnDrop) -> None:
        self._exporter = exporter
        self._on_drop = on_drop

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by the processor's thread."""
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._on_drop("failed", len(spans))
        return result

    def shutdown(self) -> None:
        """Ends the exporter."""
        self._exporter.shutdown()


class Exporter:
    """Hands finished traces to a thread that sends them; never waits."""

    def __init__(self, config: TracingConfig, version: str, exporter: SpanExporter) -> None:
        self._langfuse = config.langfuse
        self._resource = Resource.create(
            {"service.name": "groundwire", "service.version": version, "service.instance.id": str(uuid4())}
        )
        self._scope = InstrumentationScope("groundwire", version)
        self._processor = BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=1_000)

    def send(self, trace: FinishedTrace) -> None:
        """Queues the trace, with the batches that it shared with others."""
        spans = observed(trace) if self._langfuse else [*trace.spans, *trace.batches]
        for span in spans:
            more = langfuse_attributes(trace, span) if self._langfuse else {}
            self._processor.on_end(self._readable(span, more))

    def close(self) -> None:
        """Sends what waits, then ends the thread."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # typed in all but its result

    def _readable(self, span: FinishedSpan, more: dict[str, Any]) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
            resource=self._resource,
            attributes={**span.attributes, **more},
            links=[Link(_context(*link)) for link in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.started_ns,
            end_time=span.started_ns + span.duration_ns,
            instrumentation_scope=self._scope,
        )


def exporter_to(config: TracingConfig, version: str, on_drop: OnDrop) -> Exporter:
    """An exporter to the collector that the settings name."""
    headers = {name: value.reveal() for name, value in config.headers.items()}
    otlp = OTLPSpanExporter(endpoint=config.endpoint, headers=headers, timeout=config.timeout_s)
    return Exporter(config, version, Counting(otlp, on_drop))


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
