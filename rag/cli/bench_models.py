"""`rag bench embed`, `rerank` and `ingest`: work without a server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.main import run

if TYPE_CHECKING:
    from rag.infer.models import Task

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


def _racing(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the benchmarks of models ask."""
    for option in reversed(
        (
            click.argument("folder", type=_FOLDER),
            click.option("--items", type=click.IntRange(1), default=400, show_default=True, help="Of each repeat."),
            click.option("--repeats", type=click.IntRange(1), default=4, show_default=True, help="By turns."),
            click.option("--tokens", type=click.IntRange(8, 512), help="Repeat or cut every text or pair to so many."),
            click.option("--one-by-one", is_flag=True, help="Hand every text of a batch in by a caller of its own."),
            click.option("--fp32", default="", help="A model folder to run in padded batches beside it."),
            click.option("--original", default="", help="The original, for sentence-transformers beside it."),
            click.option("--json", "json_file", type=_FILE, help="Write what was measured here."),
        )
    ):
        function = option(function)
    return function


@click.command("embed")
@_racing
@click.option("--idle", is_flag=True, help="Questions one by one instead, beside the file called directly.")
def embed(idle: bool, **given: Any) -> None:
    """Measure the shipped embedder on the texts of the collection in FOLDER, as ingestion runs it."""
    run(_idle(given) if idle else _race("embed", "embedding", given))


@click.command("rerank")
@_racing
def rerank(**given: Any) -> None:
    """Measure the shipped cross-encoder on questions and texts of the collection in FOLDER."""
    run(_race("rerank", "pairs of question and passage", given))


async def _race(task: "Task", title: str, given: dict[str, Any]) -> int:
    from rag.bench import models
    from rag.bench.corpus import read_entries, read_questions

    work = models.jobs(task, read_entries(given["folder"]), read_questions(given["folder"]), given["items"])
    peers = {"fp32": given["fp32"], "original": given["original"]}
    async with models.contending(task, **peers, one_by_one=given["one_by_one"]) as (contenders, counter):
        if given["tokens"]:
            work = models.of_length(work, given["tokens"], counter)
        report = await models.race(title, contenders, work, given["repeats"], counter)
    models.show(report)
    models.write(report, given["json_file"])
    return 0


async def _idle(given: dict[str, Any]) -> int:
    from rag.bench import models
    from rag.bench.corpus import read_questions

    work = models.single_jobs(read_questions(given["folder"]), given["items"])
    async with models.idle_contending() as (contenders, counter):
        report = await models.race("questions one by one", contenders, work, given["repeats"], counter)
    models.show(report)
    click.echo(f"the way to the model adds {models.idle_cost_ms(report):.3f} ms to each")
    models.write(report, given["json_file"])
    return 0


@click.command("ingest")
@click.argument("folders", type=_FOLDER, nargs=-1, required=True, metavar="FOLDER...")
@click.option("--passages", type=click.IntRange(0), default=0, show_default=True, help="Passages of filler to add.")
@click.option("--repeats", type=click.IntRange(1), default=4, show_default=True, help="Each into a folder of its own.")
@click.option("--json", "json_file", type=_FILE, help="Write what was measured here.")
def ingest(folders: tuple[Path, ...], passages: int, repeats: int, json_file: Path | None) -> None:
    """Measure `rag ingest` on collections, from its start to its end, and the embedder alone by turns."""
    run(_ingest(folders, passages, repeats, json_file))


async def _ingest(folders: tuple[Path, ...], passages: int, repeats: int, json_file: Path | None) -> int:
    from rag.bench.ingest import measure
    from rag.bench.models import write

    report = await measure(
        folders, passages, repeats, lambda run: click.echo(f"{run.chunks} chunks in {run.wall_s:.1f} s", err=True)
    )
    write(report, json_file)
    per_s = f"{report.documents_per_s:.1f} documents/s, {report.chunks_per_s:.1f} chunks/s"
    click.echo(f"{per_s}, {report.cpu_ms_per_chunk:.2f} ms of processor time a chunk")
    ratio, low, high = report.of_bare
    of_bare = f"ingestion / embedder alone = {ratio:.2f} (95 %: {low:.2f} to {high:.2f})"
    click.echo(f"the embedder alone: {report.bare_chunks_per_s:.1f} chunks/s; {of_bare}")
    click.echo(f"{report.date}  {report.machine.cores} cores of {report.machine.cpu}, load {report.machine.load}")
    return 0
