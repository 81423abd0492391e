"""The numbers of one process, in a registry of its own: nothing global, so two servers in one test do not meet."""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of

from rag.telemetry import names
from rag.telemetry.names import CATALOGUE, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Metrics:
    """Counters, gauges and histograms of the catalogue, and of nothing else."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._known = {metric.name: self._made(metric) for metric in CATALOGUE}
        self._children: dict[tuple[str, tuple[str, ...]], MetricWrapperBase] = {}  # the library's own way locks
        self._ready: Callable[[], bool] = lambda: False
        self._readers: list[Callable[[], None]] = []
        self._lookups: list[Callable[[], Awaitable[None]]] = []

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        """Raises a counter."""
        counter = self._labelled(metric, labels)
        assert isinstance(counter, Counter)
        counter.inc(amount)

    def observe(self, metric: Metric, value: float, *labels: str, trace_id: str | None = None) -> None:
        """Puts a value into a histogram, with the trace that is an example of it, if there is one."""
        histogram = self._labelled(metric, labels)
        assert isinstance(histogram, Histogram)
        histogram.observe(value, None if trace_id is None else {"trace_id": trace_id})

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Sets a gauge."""
        gauge = self._labelled(metric, labels)
        assert isinstance(gauge, Gauge)
        gauge.set(value)

    def shift(self, metric: Metric, by: float) -> None:
        """Moves a gauge up or down."""
        gauge = self._labelled(metric, ())
        assert isinstance(gauge, Gauge)
        gauge.inc(by)

    def watch(self, ready: Callable[[], bool]) -> None:
        """What is asked, whenever the metrics are, whether requests may be sent here."""
        self._ready = ready

    def before(self, read: Callable[[], None]) -> None:
        """What is called, whenever the metrics are asked for, to set gauges that nobody sets in between."""
        self._readers.append(read)

    def look_up(self, number: Callable[[], Awaitable[None]]) -> None:
        """The same for what has to be asked for elsewhere, which is done by `refresh`."""
        self._lookups.append(number)

    async def refresh(self) -> None:
        """Brings up to date what is looked up elsewhere."""
        for number in self._lookups:
            await number()

    def exposition(self, *, openmetrics: bool = False) -> bytes:
        """All values in Prometheus's text format, or in OpenMetrics, which has room for traces as examples."""
        self.set(names.READY, float(self._ready()))
        for read in self._readers:
            read()
        write: Callable[[CollectorRegistry], bytes] = openmetrics_of if openmetrics else generate_latest
        return write(self._registry)

    def _labelled(self, metric: Metric, labels: tuple[str, ...]) -> MetricWrapperBase:
        if not labels:
            return self._known[metric.name]
        key = (metric.name, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._known[metric.name].labels(*labels)
        return child

    def _made(self, metric: Metric) -> MetricWrapperBase:
        match metric.kind:
            case "counter":
                return Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            case "gauge":
                return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
            case "histogram":
                return Histogram(
                    metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
                )
