"""`rag eval`."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from rag.cli import options
from rag.cli.eval_cache import cache, wordings
from rag.cli.eval_chunking import chunking
from rag.cli.main import run
from rag.cli.terminal import echo_scores
from rag.govern.limits import patient
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.evals.answers import Judged, Reply
    from rag.evals.collection import Collection
    from rag.evals.metrics import Interval
    from rag.evals.retrieval import Report


@click.group("eval")
def command() -> None:
    """Measure on judged collections."""


command.add_command(chunking)
command.add_command(cache)
command.add_command(wordings)


@command.command("answers")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
@click.option(
    "--details", type=click.Path(path_type=Path, dir_okay=False), help="Write one JSON line per question here."
)
@options.as_json
@click.pass_context
def answers(ctx: click.Context, folder: Path, limit: int | None, details: Path | None, as_json: bool) -> None:
    """Ask every question of FOLDER/queries.jsonl and count the answers that hold a gold answer string.

    The collection must have been ingested before: `rag ingest FOLDER/corpus.jsonl`.
    """
    from rag.evals.answers import read_judged

    run(_answers(options.settings_of(ctx), read_judged(folder)[:limit], details, as_json=as_json))


@command.command("retrieval")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Index into this folder and keep it.")
@click.option("--compare", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An earlier --json run.")
@click.option("--gate", is_flag=True, help="Exit with 1 when a configuration loses more than 0.01 nDCG@10.")
@click.option("--in-flight", type=click.IntRange(1), default=8, show_default=True, help="Queries asked at a time.")
@options.as_json
@click.pass_context
def retrieval(
    ctx: click.Context, folder: Path, keep: Path | None, compare: Path | None, gate: bool, in_flight: int, as_json: bool
) -> None:
    """Index the BEIR collection in FOLDER and measure dense, BM25, fused and reranked retrieval.

    With --gate alone the reranked order is held against the fused one, and the fused one against the better leg.
    """
    from rag.evals.collection import open_collection
    from rag.evals.retrieval import read_report

    settings, collection = options.settings_of(ctx), open_collection(folder)
    then = read_report(compare) if compare else None
    run(_retrieval(settings, collection, keep, then, in_flight, gate=gate, as_json=as_json))


@command.command("abstention")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seed", type=int, default=0, show_default=True, help="Which half is withheld.")
@options.as_json
@click.pass_context
def abstention(ctx: click.Context, folder: Path, seed: int, as_json: bool) -> None:
    """Index the BEIR collection in FOLDER without half of its relevant documents and see which answers are refused."""
    from rag.evals.collection import open_collection

    run(_abstention(options.settings_of(ctx), open_collection(folder), seed, as_json=as_json))


async def _retrieval(
    settings: Settings,
    collection: "Collection",
    keep: Path | None,
    then: "Report | None",
    in_flight: int,
    *,
    gate: bool,
    as_json: bool,
) -> int:
    from tempfile import TemporaryDirectory

    from rag.evals import retrieval as evals

    with TemporaryDirectory(prefix="groundwire-eval-") as passing:
        settings = replace(settings, data_dir=keep or Path(passing), limits=patient(settings.limits))
        report = await _measured(settings, collection, in_flight, quiet=as_json)
    changes = evals.compared(report, then) if then else evals.against_lower_stages(report)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report, changes)
    lost = evals.losses(changes)
    if gate and lost:
        click.echo(f"gate: more than {evals.GATE_LOSS} nDCG@10 lost: {', '.join(lost)}", err=True)
    return 1 if gate and lost else 0


async def _measured(settings: Settings, collection: "Collection", in_flight: int, *, quiet: bool) -> "Report":
    from rich.progress import Progress

    from rag.compose import open_services
    from rag.evals import retrieval as evals
    from rag.govern.keys import KeyRing

    with Progress(disable=quiet, transient=True) as progress:
        async with open_services(settings, KeyRing()) as services:
            indexing = progress.add_task("indexing", total=None)
            indexed = await services.library.indexer.run(
                evals.drafts(collection), evals.TENANT, lambda _: progress.advance(indexing)
            )
            searching = progress.add_task("searching", total=len(collection.queries))
            return await evals.evaluate(
                collection, services.searcher, indexed, in_flight=in_flight, told=lambda: progress.advance(searching)
            )


async def _abstention(settings: Settings, collection: "Collection", seed: int, *, as_json: bool) -> int:
    from tempfile import TemporaryDirectory

    from rich.progress import Progress

    from rag.compose import open_services
    from rag.evals import abstention as evals
    from rag.govern.keys import KeyRing

    withheld = evals.withheld_half(collection, seed)
    with (
        TemporaryDirectory(prefix="groundwire-eval-") as passing,
        Progress(disable=as_json, transient=True) as progress,
    ):
        alone = replace(settings, data_dir=Path(passing), limits=patient(settings.limits))
        async with open_services(alone, KeyRing()) as services:
            indexing = progress.add_task("indexing", total=None)
            await evals.index_without(
                collection, withheld, services.library.indexer, lambda _: progress.advance(indexing)
            )
            asking = progress.add_task("asking", total=len(collection.queries))
            scores = await evals.score_abstention(
                collection, withheld, partial(evals.answer_of, services.answerer), lambda: progress.advance(asking)
            )
    echo_scores(scores, as_json=as_json)
    return 0


def _print(report: "Report", changes: "Mapping[str, Interval]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *msgspec.to_builtins(report.dense), title=report.collection)
    for name, scores in report.configurations().items():
        table.add_row(name, *(f"{value:.3f}" for value in msgspec.to_builtins(scores).values()))
    console = Console()
    console.print(table)
    for name, change in changes.items():
        console.print(f"{name}: {change.mean:+.3f} nDCG@10  (95 % {change.low:+.3f} to {change.high:+.3f})")
    timings = report.timings
    console.print(f"{report.queries} queries, {report.documents} documents, {timings.in_flight} queries in flight")
    for name, spent in (("fused", timings.fused), ("reranked", timings.reranked)):
        if spent:
            console.print(f"{name}: {1000 * spent.p50_s:.1f} ms in the median, 95 % within {1000 * spent.p95_s:.1f} ms")


async def _answers(settings: Settings, questions: "Sequence[Judged]", details: Path | None, *, as_json: bool) -> int:
    import time

    from rich.progress import track

    from rag.cli.connection import asked, connected
    from rag.evals.answers import Reply, score_answers
    from rag.evals.traced import open_evaluation

    lines: list[dict[str, object]] = []
    ticks = iter(track(questions, description="asking", disable=as_json))

    def told(question: "Judged", reply: "Reply", held: bool) -> None:
        next(ticks, None)
        lines.append({"id": question.id, "held": held, **msgspec.to_builtins(reply)})
        evaluation.judged(reply.headers, float(held), "held" if held else "missing")

    async with open_evaluation("holds_gold", settings) as evaluation, connected(settings) as client:

        async def ask(question: str) -> Reply:
            started_s = time.monotonic()
            with evaluation.question() as headers:
                answer = await asked(client, "POST", "/ask", json={"question": question}, headers=headers)
            spent_s = time.monotonic() - started_s
            return Reply(answer["answer"], answer["stop_reason"], answer["confidence"], spent_s, headers)

        scores = await score_answers(questions, ask, told)
    if details:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        await asyncio.to_thread(details.write_text, text, encoding="utf-8")
    echo_scores(scores, as_json=as_json)
    return 0
