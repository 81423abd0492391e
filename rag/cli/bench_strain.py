"""`rag bench overload`, `beside` and `soak`: the service under strain."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.bench_servers import filled, index_folder, over
from rag.cli.main import run

if TYPE_CHECKING:
    from rag.bench.beside import Neighbour
    from rag.bench.compare import Run
    from rag.bench.overload import Finding

_FILE = click.Path(path_type=Path, dir_okay=False)
_json = click.option("--json", "json_file", type=_FILE, help="Write everything that was measured here.")


@click.command("overload")
@over
@filled
@click.option("--rerank", is_flag=True, help="With the cross-encoder.")
@click.option("--clients", type=click.IntRange(1), default=32, show_default=True, help="That find the capacity.")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Of twice the capacity.")
@_json
def overload(rerank: bool, clients: int, seconds: float, **given: Any) -> None:
    """Put twice its capacity on /search over the BEIR collection in FOLDER, and see who is answered and how fast."""
    with index_folder(given["index"]) as index:
        run(_overload(index, rerank=rerank, clients=clients, seconds=seconds, given=given))


async def _overload(index: Path, *, rerank: bool, clients: int, seconds: float, given: dict[str, Any]) -> int:
    from rag.bench.corpus import read_questions
    from rag.bench.overload import Timing, overload
    from rag.bench.search import Setup, prepare, search_requests, service

    collection = given["folder"].resolve()
    await prepare(collection, given["passages"], index)
    setup = Setup(collection=collection, index=index, rerank=rerank)
    requests = search_requests(read_questions(collection), rerank=rerank)
    timing = Timing(clients=clients, capacity_s=min(15.0, seconds), easy_s=min(20.0, seconds), hard_s=seconds)
    async with service(index, setup.environ) as server:
        runs, found = await overload(server, requests, timing, lambda done: click.echo(_line(done), err=True))
    return _told("/search at twice its capacity", runs, found, given["json_file"])


@click.command("beside")
@over
@click.option("--neighbour", type=click.Choice(["tenant", "ingestion"]), default="tenant", show_default=True)
@click.option("--load", "share", type=click.FloatRange(0.01), default=0.8, show_default=True, help="Of the capacity.")
@click.option("--seconds", type=click.FloatRange(1), default=15.0, show_default=True, help="Of each run.")
@click.option("--repeats", type=click.IntRange(1), default=4, show_default=True, help="Alone and beside, by turns.")
@_json
def beside(neighbour: "Neighbour", share: float, seconds: float, repeats: int, **given: Any) -> None:
    """Measure how much slower a tenant's searches get beside another's, or beside ingestion."""
    with index_folder(given["index"]) as index:
        run(_beside(index, neighbour, share, (seconds, repeats), given))


async def _beside(
    index: Path, neighbour: "Neighbour", share: float, pace: tuple[float, int], given: dict[str, Any]
) -> int:
    from rag.bench.beside import WORST, capacity_load, loads, serving, slower
    from rag.bench.compare import compare, measured
    from rag.bench.corpus import read_questions
    from rag.bench.overload import Finding

    seconds, repeats = pace
    collection = given["folder"].resolve()
    questions = read_questions(collection)
    async with serving(collection, index) as server:
        await measured(server, capacity_load(questions, 1, min(3.0, seconds)))  # lets the server learn its own speed
        capacity = await measured(server, capacity_load(questions, 32, min(10.0, seconds)))
        click.echo(_line(capacity), err=True)
        levels = loads(neighbour, collection, questions, share * capacity.figures.per_s, seconds)
        runs = await compare([server], levels, repeats, lambda done: click.echo(_line(done), err=True))
    value, low, high = slower(runs)
    worst = WORST[neighbour]
    found = Finding(
        claim=f"beside {neighbour} the p95 is at most {worst:g} x that alone",
        figure=f"{value:.2f} x (95 %: {low:.2f} to {high:.2f})",
        holds=value <= worst,
    )
    return _told(f"/search beside {neighbour}", [capacity, *runs], [found], given["json_file"])


@click.command("soak")
@over
@filled
@click.option("--minutes", type=click.FloatRange(0.1), default=30.0, show_default=True, help="In all.")
@click.option("--steps", type=click.IntRange(1), default=10, show_default=True, help="After the warm-up.")
@_json
def soak(minutes: float, steps: int, **given: Any) -> None:
    """Ask, stream, search and change documents at once over the BEIR collection in FOLDER, and watch the memory."""
    with index_folder(given["index"]) as index:
        run(_soak(index, minutes, steps, given))


async def _soak(index: Path, minutes: float, steps: int, given: dict[str, Any]) -> int:
    from rag.bench.compare import measured
    from rag.bench.search import prepare, service
    from rag.bench.soak import drift, loads

    collection = given["folder"].resolve()
    await prepare(collection, given["passages"], index)
    runs: list[Run] = []
    async with service(index, {"RAG_CONFIG": os.devnull}) as server:
        for load in loads(collection, 60.0 * minutes, steps):
            runs.append(await measured(server, load))
            click.echo(_line(runs[-1]), err=True)
    return _told("a soak", runs, [drift(runs)], given["json_file"])


def _line(done: "Run") -> str:
    figures = done.figures
    p = figures.latency
    times = f"p50 {p.p50:.1f} p95 {p.p95:.1f} p99 {p.p99:.1f} ms" if p else "nothing answered"
    late = f", generator late by {figures.lag.p99:.1f} ms (p99)" if figures.lag else ""
    errors = f", errors {done.result.errors}" if done.is_void else ""
    told = f"{done.load}: {figures.per_s:.1f}/s, {times}, {figures.n_refused} refused, {done.rss_mib:.0f} MiB"
    return told + late + errors


def _told(title: str, runs: "Sequence[Run]", found: "Sequence[Finding]", json_file: Path | None) -> int:
    from rag.bench.report import report_of, write

    for finding in found:
        click.echo(f"{'holds ' if finding.holds else 'FAILS '} {finding.claim}: {finding.figure}")
    notes = [f"{finding.claim}: {finding.figure} ({'holds' if finding.holds else 'fails'})" for finding in found]
    report = report_of(title, runs, axis="step", notes=notes)
    write(report, json_file, None)
    click.echo(f"{report.date}  {report.machine.cores} cores of {report.machine.cpu}, load {report.machine.load}")
    return 1 if report.n_void or not all(finding.holds for finding in found) else 0
