"""What goes to a collector: the same spans, as OpenTelemetry has them, and none of it global."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from rag.base.errors import Unavailable
from rag.telemetry.config import TracingConfig
from rag.telemetry.otlp import Counting, Exporter
from tests.fakes import ScriptedModel
from tests.telemetry.recorded import Recorded


class Collector(SpanExporter):
    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.spans: list[ReadableSpan] = []
        self.result = result

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return self.result

    def shutdown(self) -> None:
        pass


async def exported(recorded: Recorded, **config: object) -> list[ReadableSpan]:
    collector = Collector()
    exporter = Exporter(TracingConfig(**config), "0", collector)
    exporter.send(await recorded.one())
    exporter.close()
    return collector.spans


async def test_every_span_arrives_with_its_place_and_time() -> None:
    recorded = Recorded()
    spans = await exported(recorded)
    (trace,) = recorded.kept
    assert {f"{span.context.span_id:016x}" for span in spans} == {span.span_id for span in trace.spans}
    root = next(span for span in spans if span.parent is None)
    assert (root.name, root.kind, f"{root.context.trace_id:032x}") == ("POST /ask", SpanKind.SERVER, trace.trace_id)
    assert root.end_time - root.start_time == trace.duration_ns
    assert root.resource.attributes["service.name"] == "groundwire"
    batch = next(span for span in spans if span.name == "query_batch shelf")
    assert [link.context.trace_id for link in batch.links] == [root.context.trace_id]


async def test_processes_of_one_service_are_told_apart() -> None:
    one, other = [(await exported(Recorded()))[0].resource.attributes for _ in range(2)]
    assert one["service.instance.id"] != other["service.instance.id"]
    assert one["service.name"] == other["service.name"]


async def test_a_failure_is_a_status() -> None:
    spans = await exported(Recorded(ScriptedModel("", failure=Unavailable("down"))))
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, span.status.description) for span in failed] == [("chat scripted@1", "Unavailable")]


async def test_langfuse_gets_observations_of_the_pipeline_only() -> None:
    spans = await exported(Recorded(), langfuse=True)
    types = {span.name: span.attributes["langfuse.observation.type"] for span in spans}
    assert types == {
        "invoke_workflow ask": "chain",
        "cache_lookup exact": "chain",
        "embeddings hashing@1": "embedding",
        "retrieval shelf": "retriever",
        "rerank reversing@1": "span",
        "render_prompt answer.v1": "span",
        "chat scripted@1": "generation",
    }
    assert {span.attributes["langfuse.trace.name"] for span in spans} == {"POST /ask"}


def test_what_the_collector_refuses_is_counted() -> None:
    lost: list[tuple[str, int]] = []
    counting = Counting(Collector(SpanExportResult.FAILURE), lambda reason, count: lost.append((reason, count)))
    assert counting.export([ReadableSpan("x")] * 3) is SpanExportResult.FAILURE
    assert lost == [("failed", 3)]


@pytest.mark.sockets
async def test_the_provider_of_the_program_around_us_is_left_alone() -> None:
    from rag.telemetry.tracing import open_tracing

    before = otel.get_tracer_provider()
    config = TracingConfig(endpoint="http://127.0.0.1:9/v1/traces", timeout_s=0.2)
    lost: list[tuple[str, int]] = []
    async with open_tracing(config, reveal=str, version="0", on_drop=lambda *told: lost.append(told)) as tracing:
        assert tracing.tracer is not None
        with tracing.tracer.request("root", "server"):
            pass
    assert otel.get_tracer_provider() is before
    assert lost == [("failed", 1)], "sent at the end, to nobody"
