"""`rag bench embed` and `rerank`: models in this process, by turns."""

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
            click.option("--fp32", default="", help="A model folder to run in padded batches beside it."),
            click.option("--original", default="", help="The original, for sentence-transformers beside it."),
            click.option("--json", "json_file", type=_FILE, help="Write what was measured here."),
        )
    ):
        function = option(function)
    return function


@click.command("embed")
@_racing
def embed(**given: Any) -> None:
    """Measure the shipped embedder on the texts of the collection in FOLDER, as ingestion runs it."""
    run(_race("embed", "embedding", given))


@click.command("rerank")
@_racing
def rerank(**given: Any) -> None:
    """Measure the shipped cross-encoder on questions and texts of the collection in FOLDER."""
    run(_race("rerank", "pairs of question and passage", given))


async def _race(task: "Task", title: str, given: dict[str, Any]) -> int:
    from rag.bench import models
    from rag.bench.corpus import read_entries, read_questions

    work = models.jobs(task, read_entries(given["folder"]), read_questions(given["folder"]), given["items"])
    async with models.contending(task, fp32=given["fp32"], original=given["original"]) as (contenders, counter):
        report = await models.race(title, contenders, work, given["repeats"], counter)
    models.show(report)
    models.write(report, given["json_file"])
    return 0
