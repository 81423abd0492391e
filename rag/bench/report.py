"""What a benchmark found, for people, for programs and as a chart."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.bench.chart import Line, chart
from rag.bench.compare import Ratio, Row, Run, ratios, rows
from rag.bench.machine import Machine, this_machine

WIDTH = 120
"""Of the table where the terminal is narrower, or none."""

_STREAMED = ("first p50", "stall p99")
"""The time to the first token, and the longest silence within a stream."""


class Report(Struct, frozen=True, kw_only=True):
    """A whole benchmark. `axis` says what the levels of load are."""

    title: str
    axis: str
    date: str
    machine: Machine
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...]
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_void(self) -> int:
        """How many runs do not count."""
        return sum(row.n_void for row in self.rows)


def report_of(title: str, runs: Sequence[Run], *, axis: str = "clients", notes: Sequence[str] = ()) -> Report:
    """The report of the runs, dated now."""
    return Report(
        title=title,
        axis=axis,
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        machine=this_machine(),
        rows=tuple(rows(runs)),
        ratios=tuple(ratios(runs)),
        runs=tuple(runs),
        notes=tuple(notes),
    )


def write(report: Report, json_file: Path | None, svg_file: Path | None) -> None:
    """Writes the files that are asked for."""
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    if svg_file:
        svg_file.write_text(svg(report), encoding="utf-8")


def svg(report: Report) -> str:
    """Throughput and latencies against the level of load, one line for each server."""
    sound = [row for row in report.rows if row.n_runs > row.n_void]
    servers = list(dict.fromkeys(row.server for row in sound))
    panels = []
    for caption, names in (("replies per second", ("per_s",)), ("latency, ms", ("p50", "p95", "p99"))):
        lines = [
            Line(
                label=server if name == "per_s" else f"{server} {name}",
                colour=number,
                dashes=("p50", "p95", "p99").index(name) if name != "per_s" else 0,
                points=tuple((row.level, getattr(row, name)) for row in sound if row.server == server),
            )
            for number, server in enumerate(servers)
            for name in names
        ]
        panels.append((caption, lines))
    about = f"{report.date}, {report.machine.cores} cores of {report.machine.cpu}"
    return chart(report.title, about, report.axis, panels)


def show(report: Report) -> None:
    """Prints the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(WIDTH, Console().width))
    table = Table(title=report.title)
    for name in (report.axis, "server", "per s", "p50 ms", "p95 ms", "p99 ms", *_STREAMED, "cpu ms", "MiB", "runs"):
        table.add_column(name, justify="left" if name in {"server", report.axis} else "right")
    for row in report.rows:
        times = [_digits(value) for value in (row.per_s, row.p50, row.p95, row.p99, row.first_p50, row.stall_p99)]
        runs = f"{row.n_runs - row.n_void}" + (f" ({row.n_void} void)" if row.n_void else "")
        table.add_row(row.load, row.server, *times, f"{row.cpu_ms:.2f}", f"{row.rss_mib:.0f}", runs)
    console.print(table)
    first = report.rows[0].server if report.rows else ""
    for ratio in report.ratios:
        bounds = f"(95 %: {ratio.low:.2f} to {ratio.high:.2f})"
        console.print(
            f"{ratio.load}, {ratio.what}: {first} / {ratio.other} = {ratio.value:.2f} {bounds}", highlight=False
        )
    for run in report.runs:
        if run.is_void:
            why = run.result.errors or "nothing was answered in time: give it more --seconds"
            console.print(f"void: {run.server}, {run.load}, run {run.repeat + 1}: {why}", highlight=False)
    busiest = max((run.result.generator_load for run in report.runs), default=0.0)
    console.print(f"the load generator used at most {100 * busiest:.0f} % of one core", highlight=False)
    for note in report.notes:
        console.print(note, highlight=False)
    machine = report.machine
    console.print(f"{report.date}  {machine.cores} cores of {machine.cpu}, load {machine.load}", highlight=False)


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
