"""`rag ingest`."""

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rag.base.types import EVERYONE
from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import one_line
from rag.govern.access import GRANT
from rag.settings import Settings

if TYPE_CHECKING:
    from ingest.outcome import Outcome, Report


def _grants(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for grant in given:
        if not re.search(GRANT, grant):
            raise click.BadParameter(f"takes everyone, group:NAME or user:NAME, got '{grant}'", param=option)
    return given


@click.command("ingest")
@click.argument("sources", nargs=-1, required=True, metavar="PATH|GLOB|-...")
@click.option("--tenant", default="default", show_default=True, help="Whose documents they are.")
@click.option(
    "--acl",
    multiple=True,
    default=(EVERYONE,),
    show_default=True,
    callback=_grants,
    help="Who may read them: everyone, group:NAME or user:NAME; repeatable.",
)
@click.option("--meta", "metadata", multiple=True, metavar="FIELD=VALUE", help="Metadata for all of them; repeatable.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[str, ...],
    tenant: str,
    acl: tuple[str, ...],
    metadata: tuple[str, ...],
    as_json: bool,
) -> None:
    """Read documents into the index: files, folders, globs, or JSON lines from standard input (-).

    What has not changed since the last time is left alone. A document that cannot be indexed is reported, the others
    go on, and the exit code is 1. While a server holds the data folder, the documents are sent to it.
    """
    given = options.parsed_pairs("--meta", metadata)
    run(_ingest(options.settings_of(ctx), sources, tenant, acl, given, as_json=as_json))


async def _ingest(
    settings: Settings,
    sources: tuple[str, ...],
    tenant: str,
    acl: tuple[str, ...],
    metadata: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    from ingest.parse.pool import ParserPool
    from ingest.read import SourceReader
    from ingest.sources import find
    from rag.cli.connection import indexing

    async with indexing(settings, tenant) as index, ParserPool(settings.ingest) as pool:
        reader = SourceReader(pool, settings.ingest, acl=acl, metadata=metadata)
        items = reader.read(find(sources, sys.stdin.buffer))
        if as_json:
            report = await index(items, None)
            click.echo(msgspec.json.encode(report))
        else:
            report = await _shown(lambda progress: index(items, progress))
    return 1 if report.failed else 0


async def _shown(index: "Callable[[Callable[[Outcome], None]], Any]") -> "Report":
    """Runs with a line of progress, then prints the summary."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} documents  {task.fields[chunks]} chunks"))
    name = TextColumn("[dim]{task.fields[name]}")
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), name, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, chunks=0, name="")
        n_chunks = 0

        def told(outcome: "Outcome") -> None:
            nonlocal n_chunks
            n_chunks += outcome.n_chunks if outcome.status in ("added", "updated") else 0
            progress.update(task, advance=1, chunks=n_chunks, name=outcome.uri.rpartition("/")[2][:60])
            if outcome.status == "failed":
                line = f"failed  {outcome.uri}: {one_line(outcome.reason)}"
                console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)

        report: Report = await index(told)
    counts = [f"{getattr(report, each)} {each}" for each in ("added", "updated", "unchanged", "duplicate", "failed")]
    click.echo(f"{', '.join(counts)}; {report.chunks} chunks in {report.seconds:.1f} s")
    return report
