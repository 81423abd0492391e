"""`rag ingest`."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from rag.base.types import EVERYONE
from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import json_text, one_line
from rag.govern.access import GRANT
from rag.settings import Settings

if TYPE_CHECKING:
    from ingest.outcome import Failure, Outcome, Report
    from ingest.pipeline import Progress
    from ingest.read import SourceReader
    from ingest.sources import Source
    from ingest.sync import Synchroniser
    from rag.cli.connection import Engine

    Look = Callable[[], Iterator[Source | Failure]]

_COUNTS = ("added", "updated", "unchanged", "duplicate", "near_duplicate", "skipped", "deleted", "failed")


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    sources: tuple[str, ...]
    tenant: str
    acl: tuple[str, ...]
    metadata: dict[str, Any]
    as_json: bool
    sync: bool = False
    delete_missing: bool = False
    dry_run: bool = False
    every_s: float | None = None
    engine: "Engine" = "local"


def _grants(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for grant in given:
        if not re.search(GRANT, grant):
            raise click.BadParameter(f"takes everyone, group:NAME or user:NAME, got '{grant}'", param=option)
    return given


@click.command("ingest")
@click.argument("sources", nargs=-1, required=True, metavar="PATH|GLOB|URL|-...")
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
@click.option("--sync", is_flag=True, help="Read only files that have changed since they were read the last time.")
@click.option("--delete-missing", is_flag=True, help="With --sync: delete documents whose file or line is gone.")
@click.option("--dry-run", is_flag=True, help="With --sync: say what would be read and deleted, and do nothing.")
@click.option("--watch", is_flag=True, help="With --sync: go on until interrupted.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="With --watch: seconds between two looks.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Embed in this process, or on the Ray cluster that RAY_ADDRESS names, else in one of this machine.",
)
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[str, ...],
    tenant: str,
    acl: tuple[str, ...],
    metadata: tuple[str, ...],
    sync: bool,
    delete_missing: bool,
    dry_run: bool,
    watch: bool,
    every_s: float,
    engine: "Engine",
    as_json: bool,
) -> None:
    """Read documents into the index: files, folders, globs, URLs, s3://BUCKET/KEY, or JSON lines from stdin (-).

    What has not changed since the last time is left alone. A document that cannot be indexed is reported, the others
    go on, and the exit code is 1; so it is when there is nothing to read. While a server holds the data folder, the
    documents are sent to it.
    """
    if (delete_missing or dry_run or watch) and not sync:
        raise click.UsageError("--delete-missing, --dry-run and --watch go with --sync")
    if (delete_missing or watch) and "-" in sources:
        raise click.UsageError("standard input can be read once: it goes with neither --delete-missing nor --watch")
    wanted = Wanted(
        sources=sources,
        tenant=tenant,
        acl=acl,
        metadata=options.parsed_pairs("--meta", metadata),
        sync=sync,
        delete_missing=delete_missing,
        dry_run=dry_run,
        every_s=every_s if watch else None,
        engine=engine,
        as_json=as_json,
    )
    run(ingest(options.settings_of(ctx), wanted))


async def ingest(settings: Settings, wanted: Wanted) -> int:
    """Does what is wanted and gives the exit code."""
    from ingest.memory import FILE_NAME, Options, SourceMemory
    from ingest.parse.pool import ParserPool
    from ingest.read import SourceReader
    from ingest.sources import find, is_s3, is_there, is_url
    from ingest.sync import Synchroniser, recipe_of
    from rag.cli.connection import indexing

    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(indexing(settings, wanted.tenant, wanted.engine))
        pool = await stack.enter_async_context(ParserPool(settings.ingest))
        web = None
        if any(map(is_url, wanted.sources)):
            from ingest.web import open_web

            web = await stack.enter_async_context(open_web(settings.ingest))
        s3 = None
        if any(map(is_s3, wanted.sources)):
            from ingest.s3 import open_objects

            s3 = open_objects(settings.ingest)
        with SourceMemory(settings.data_dir / FILE_NAME) as memory:
            recipe = recipe_of(settings.ingest, settings.embedder, wanted.acl, wanted.metadata)
            options = Options(acl=wanted.acl, metadata=wanted.metadata)
            tells = s3.is_there if s3 else is_there
            synchroniser = Synchroniser(index, memory, wanted.tenant, recipe, options, tells)
            reader = SourceReader(pool, settings.ingest, acl=wanted.acl, metadata=wanted.metadata, web=web, s3=s3)
            look = partial(find, wanted.sources, sys.stdin.buffer, s3)
            if wanted.dry_run:
                return await _compare(synchroniser, look, wanted)
            code = await _once(synchroniser, reader, look, wanted)
            while wanted.every_s is not None:
                await asyncio.sleep(wanted.every_s)
                code = await _once(synchroniser, reader, look, wanted)
            return code


async def _once(synchroniser: "Synchroniser", reader: "SourceReader", look: "Look", wanted: Wanted) -> int:
    from ingest.sources import scope_of
    from rag.base.errors import InvalidInput

    complaint = ""

    async def work(progress: "Progress | None") -> "Report":
        nonlocal complaint
        report, walk = await synchroniser.run(look(), reader, progress, read_all=not wanted.sync)
        if not report.n_documents:
            complaint = f"there is no document in {' '.join(wanted.sources)}"
        if wanted.delete_missing:
            try:
                report.deleted = await synchroniser.delete_missing([scope_of(each) for each in wanted.sources], walk)
            except InvalidInput as error:
                complaint = str(error)
        return report

    report = await (_silently(work) if wanted.as_json else _shown(work))
    if complaint:
        click.echo(complaint, err=True)
    return 1 if report.failed or complaint else 0


async def _compare(synchroniser: "Synchroniser", look: "Look", wanted: Wanted) -> int:
    from ingest.sources import scope_of

    scopes = [scope_of(each) for each in wanted.sources] if wanted.delete_missing else []
    changes = await synchroniser.compare(look(), scopes)
    if wanted.as_json:
        click.echo(json_text(msgspec.to_builtins(changes)))
        return 0
    for uri in changes.read:
        click.echo(f"read    {one_line(uri)}")
    for identifier in changes.delete:
        click.echo(f"delete  {identifier}")
    click.echo(f"{len(changes.read)} to read, {len(changes.delete)} to delete, {changes.unchanged} unchanged", err=True)
    return 0


async def _silently(work: "Callable[[Progress | None], Awaitable[Report]]") -> "Report":
    report = await work(None)
    click.echo(json_text(msgspec.to_builtins(report)))
    return report


async def _shown(work: "Callable[[Progress | None], Awaitable[Report]]") -> "Report":
    """Runs with a line of progress, then prints the summary."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} documents  {task.fields[chunks]} chunks"))
    name = TextColumn("{task.fields[name]}", style="dim", markup=False)
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), name, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, chunks=0, name="")
        n_chunks = 0

        def told(outcome: "Outcome") -> None:
            nonlocal n_chunks
            n_chunks += outcome.n_chunks if outcome.status in ("added", "updated") else 0
            progress.update(task, advance=1, chunks=n_chunks, name=one_line(outcome.uri.rpartition("/")[2])[:60])
            if outcome.status == "failed":
                line = one_line(f"failed {outcome.uri}: {outcome.reason}")
                console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)

        report = await work(told)
    counts = [f"{getattr(report, each)} {each.replace('_', ' ')}" for each in _COUNTS]
    click.echo(f"{', '.join(counts)}; {report.chunks} chunks in {report.seconds:.1f} s")
    return report
