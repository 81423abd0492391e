"""Evaluations in traces: a question hangs below a span of ours, and what is thought of its answer is linked to it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

from rag.settings import Settings
from rag.telemetry.attributes import SPAN_KIND
from rag.telemetry.tracing import Tracing, off, open_tracing
from rag.telemetry.w3c import HEADER, outgoing, parsed


class TracedEvaluation:
    """One evaluator at work. With tracing off it does nothing."""

    def __init__(self, name: str, tracing: Tracing) -> None:
        self._name = name
        self._tracing = tracing

    @contextmanager
    def question(self) -> Iterator[dict[str, str]]:
        """The headers to ask one question with."""
        if self._tracing.tracer is None:
            yield {}
            return
        with self._tracing.tracer.request("eval question", "client") as span:
            span.describe = lambda _: {SPAN_KIND: "CHAIN"}
            yield outgoing()

    def judged(self, headers: dict[str, str], score: float, label: str) -> None:
        """What is thought of the answer to the question that was asked with those headers."""
        asked = parsed(headers.get(HEADER))
        if asked is not None:
            self._tracing.evaluated(self._name, score, label, asked)


@asynccontextmanager
async def open_evaluation(name: str, settings: Settings) -> AsyncIterator[TracedEvaluation]:
    """Traced where the settings name a collector: nobody else would see it once the command has ended."""
    config = settings.tracing
    if not config.endpoint:
        yield TracedEvaluation(name, off())
        return
    dropped = lambda _reason, _n: None  # noqa: E731 - a command has no /metrics to count in
    async with open_tracing(config, reveal=str, version=version("groundwire"), on_drop=dropped) as tracing:
        yield TracedEvaluation(name, tracing)
