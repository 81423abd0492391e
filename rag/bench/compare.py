"""Several servers under the same loads: interleaved repeats, medians, and how sure their ratio is."""

import random
from collections.abc import Callable, Sequence
from statistics import median

from msgspec import Struct

from rag.bench.load.figures import Figures, Result
from rag.bench.load.plan import Plan
from rag.bench.process import Server, generated

RESAMPLES = 2_000

Planner = Callable[[Server, int], Plan]
"""The plan for a server in its nth run, so that no two runs need send the same requests."""


class Load(Struct, frozen=True):
    """One level of load; `level` places it on the axis of a chart."""

    label: str
    level: float
    plan: Planner


class Run(Struct, frozen=True, kw_only=True):
    """One plan on one server; `cpu_ms` is the server's processor time for each good reply."""

    server: str
    load: str
    level: float
    repeat: int
    result: Result
    cpu_ms: float
    rss_mib: float

    @property
    def is_void(self) -> bool:
        """One unexpected error and nothing of it counts; nor does a run too short for a single reply."""
        return bool(self.result.errors) or self.figures.latency is None

    @property
    def figures(self) -> Figures:
        """Those of the first lane, which is the one measured."""
        return self.result.lanes[0]


class Row(Struct, frozen=True, kw_only=True):
    """The medians of a server's runs under one load; latencies in ms."""

    server: str
    load: str
    level: float
    n_runs: int
    n_void: int
    per_s: float
    p50: float
    p95: float
    p99: float
    first_p50: float
    stall_p99: float
    cpu_ms: float
    rss_mib: float


class Ratio(Struct, frozen=True, kw_only=True):
    """The first server's median over another's, with the bounds that 95 % of resampled repeats keep to."""

    other: str
    load: str
    what: str
    value: float
    low: float
    high: float


async def compare(
    servers: Sequence[Server], loads: Sequence[Load], repeats: int, told: Callable[[Run], None] = lambda _: None
) -> list[Run]:
    """Every load on every server, `repeats` times, one at a time. Who goes first changes with every repeat."""
    runs: list[Run] = []
    for repeat in range(repeats):
        order = [*servers[repeat % len(servers) :], *servers[: repeat % len(servers)]]
        for load in loads:
            for server in order:
                runs.append(await measured(server, load, repeat))
                told(runs[-1])
    return runs


async def measured(server: Server, load: Load, repeat: int = 0) -> Run:
    """One load on one server."""
    before = server.usage()
    result = await generated(load.plan(server, repeat))
    after = server.usage()
    return Run(
        server=server.name,
        load=load.label,
        level=load.level,
        repeat=repeat,
        result=result,
        cpu_ms=1000.0 * (after.cpu_s - before.cpu_s) / max(1, result.n_replies),
        rss_mib=after.rss_bytes / 2**20,
    )


def rows(runs: Sequence[Run]) -> list[Row]:
    """One for each server and load, in the order of the runs."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.load, run.server), []).append(run)
    return [_row(group) for group in groups.values()]


def ratios(runs: Sequence[Run]) -> list[Ratio]:
    """The first server held against each of the others: throughput, p50 and p95."""
    found: list[Ratio] = []
    first = runs[0].server if runs else ""
    sound = [run for run in runs if not run.is_void]
    pairs = {(run.level, run.load, run.server): None for run in sound if run.server != first}
    for _, load, other in sorted(pairs, key=lambda pair: pair[0]):
        for what in ("per_s", "p50", "p95"):
            ours = [_value(run, what) for run in sound if (run.server, run.load) == (first, load)]
            theirs = [_value(run, what) for run in sound if (run.server, run.load) == (other, load)]
            if ours and min(theirs) > 0:
                value, low, high = interval(ours, theirs)
                found.append(Ratio(other=other, load=load, what=what, value=value, low=low, high=high))
    return found


def interval(ours: Sequence[float], theirs: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """The ratio of the medians and the bounds of its 95 % bootstrap interval, both sides resampled."""
    draw = random.Random(seed)  # noqa: S311 - a figure that can be repeated
    drawn = sorted(
        median(draw.choices(ours, k=len(ours))) / median(draw.choices(theirs, k=len(theirs))) for _ in range(RESAMPLES)
    )
    return median(ours) / median(theirs), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES) - 1]


def _value(run: Run, what: str) -> float:
    if what == "per_s":
        return run.figures.per_s
    value: float = getattr(run.figures.latency, what)
    return value


def _row(group: Sequence[Run]) -> Row:
    sound = [run for run in group if not run.is_void]

    def middle(value: Callable[[Run], float]) -> float:
        return median(value(run) for run in sound) if sound else 0.0

    def of(part: str, name: str) -> float:
        return middle(lambda run: getattr(getattr(run.figures, part), name, 0.0))

    return Row(
        server=group[0].server,
        load=group[0].load,
        level=group[0].level,
        n_runs=len(group),
        n_void=len(group) - len(sound),
        per_s=middle(lambda run: run.figures.per_s),
        p50=of("latency", "p50"),
        p95=of("latency", "p95"),
        p99=of("latency", "p99"),
        first_p50=of("first", "p50"),
        stall_p99=of("stall", "p99"),
        cpu_ms=middle(lambda run: run.cpu_ms),
        rss_mib=middle(lambda run: run.rss_mib),
    )
