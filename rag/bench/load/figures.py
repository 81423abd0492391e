"""From single requests to figures. Percentiles are exact: every request counts, none is put into a bucket."""

from collections import Counter
from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from rag.bench.load.plan import Lane, Plan

_OK = 200


class Sample(Struct, frozen=True):
    """One request, in seconds of one clock. `error` is empty for a good reply and one that was refused as expected.

    `due_s` is when it should have begun, which is when its latency begins: a generator that is late hides nothing.
    """

    due_s: float
    sent_s: float
    ended_s: float
    status: int = 0
    error: str = ""
    first_s: float | None = None
    stall_s: float = 0.0
    tells_wait: bool = False

    @property
    def is_good(self) -> bool:
        """Whether it was answered as it should be."""
        return not self.error and self.status == _OK


class Percentiles(Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50: float
    p90: float
    p95: float
    p99: float
    longest: float


class Figures(Struct, frozen=True, kw_only=True):
    """What came of one lane. `per_s` counts good replies that ended within the time measured.

    `first` is from the due time to the first token, `stall` the longest silence within a stream. `lag` is by how much
    the generator itself was late. Any entry in `errors` makes the run void.
    """

    lane: str
    n_good: int
    per_s: float
    latency: Percentiles | None
    first: Percentiles | None
    stall: Percentiles | None
    n_refused: int
    n_refused_without_wait: int
    refused: Percentiles | None
    lag: Percentiles | None
    errors: dict[str, int]


class Result(Struct, frozen=True, kw_only=True):
    """What came of a plan. `n_replies` counts all good ones, warm-up and stragglers included.

    `cpu_s` is what the generator itself used in `whole_s`, in a process of its own.
    """

    lanes: tuple[Figures, ...]
    n_replies: int
    whole_s: float
    cpu_s: float

    @property
    def generator_load(self) -> float:
        """The share of one core that the generator used."""
        return self.cpu_s / self.whole_s

    @property
    def errors(self) -> dict[str, int]:
        """Those of all lanes."""
        return dict(sum((Counter(lane.errors) for lane in self.lanes), Counter()))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all values does not exceed (nearest rank)."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def percentiles(seconds: Sequence[float]) -> Percentiles | None:
    """In milliseconds; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(1000.0 * value for value in seconds)
    p50, p90, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.95, 0.99))
    return Percentiles(p50=p50, p90=p90, p95=p95, p99=p99, longest=ordered[-1])


def figures(lane: Lane, plan: Plan, samples: Sequence[Sample], began_s: float) -> Figures:
    """What the samples of a lane come to, between the end of the warm-up and the end of the plan."""
    start_s, stop_s = began_s + plan.warm_up_s, began_s + plan.warm_up_s + plan.seconds
    counted = [sample for sample in samples if start_s <= sample.due_s < stop_s]
    good = [sample for sample in counted if sample.is_good]
    refused = [sample for sample in counted if not sample.error and sample.status != _OK]
    n_in_time = sum(sample.is_good and start_s <= sample.ended_s < stop_s for sample in samples)
    return Figures(
        lane=lane.name,
        n_good=len(good),
        per_s=n_in_time / plan.seconds,
        latency=percentiles([sample.ended_s - sample.due_s for sample in good]),
        first=percentiles([sample.first_s - sample.due_s for sample in good if sample.first_s is not None]),
        stall=percentiles([sample.stall_s for sample in good if sample.first_s is not None]),
        n_refused=len(refused),
        n_refused_without_wait=sum(not sample.tells_wait for sample in refused),
        refused=percentiles([sample.ended_s - sample.sent_s for sample in refused]),
        lag=percentiles([sample.sent_s - sample.due_s for sample in counted]),
        errors=dict(Counter(sample.error for sample in samples if sample.error)),
    )
