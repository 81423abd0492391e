"""`rag reindex`."""

import asyncio
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.cli.connection import ServerState

LOOK_AGAIN_S = 0.5
ENDED = ("idle", "done", "failed", "stopped")


class Wanted(Struct, frozen=True, kw_only=True):
    """What the command line asks for; the names are those of `POST /admin/reindex`."""

    embedder: str | None
    documents_per_s: float | None
    min_overlap: float
    keep_previous: bool


@click.command("reindex")
@click.option("--embedder", help="Build with this ONNX model instead of the one in the settings.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Copy at most so many documents a second.")
@click.option(
    "--min-overlap",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Stay with the present index if the next one finds less of the same for recent questions.",
)
@click.option("--discard", is_flag=True, help="Do not keep the present index to go back to.")
@click.option("--stop", is_flag=True, help="Stop a running server from building; the next time goes on from there.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    embedder: str | None,
    rate: float | None,
    min_overlap: float,
    discard: bool,
    stop: bool,
    as_json: bool,
) -> None:
    """Build the index anew with the settings as they are now, from the texts that it holds.

    For another embedder, other chunks or other BM25 settings. A running server does it while it answers, and takes
    writes all the while. The old index stays in use until the new one holds every document; a run that was killed goes
    on where it was. The old one is kept: with its settings, `rag reindex` leads back to it and copies what changed.
    """
    wanted = Wanted(embedder=embedder, documents_per_s=rate, min_overlap=min_overlap, keep_previous=not discard)
    run(_reindex(options.settings_of(ctx), wanted, stop=stop, as_json=as_json))


async def _reindex(settings: Settings, wanted: Wanted, *, stop: bool, as_json: bool) -> int:
    from rag.cli.connection import running_server

    state = await running_server(settings.data_dir)
    if state is not None:
        standing = await (_stopped(state) if stop else _served(state, wanted, quiet=as_json))
    elif stop:
        raise click.UsageError("no server holds the data folder, so there is nothing to stop")
    else:
        standing = await _alone(settings, wanted, quiet=as_json)
    if as_json:
        click.echo(msgspec.json.encode(standing))
    else:
        _tell(standing, wanted)
    return 0 if stop or standing["state"] == "done" else 1


async def _stopped(state: "ServerState") -> dict[str, Any]:
    from rag.cli.connection import asked, client_of

    async with client_of(state) as client:
        standing: dict[str, Any] = await asked(client, "DELETE", "/admin/reindex")
    return standing


async def _served(state: "ServerState", wanted: Wanted, *, quiet: bool) -> dict[str, Any]:
    """Has the server do it, and looks on; whoever leaves stops nothing."""
    from rich.console import Console
    from rich.progress import Progress

    from rag.cli.connection import asked, client_of

    async with client_of(state) as client:
        standing: dict[str, Any] = await asked(client, "POST", "/admin/reindex", json=msgspec.to_builtins(wanted))
        with Progress(disable=quiet, transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=None)
            while standing["state"] not in ENDED:
                total = max(standing["documents"], standing["copied"])
                progress.update(task, description=standing["state"], total=total, completed=standing["copied"])
                await asyncio.sleep(LOOK_AGAIN_S)
                standing = await asked(client, "GET", "/admin/reindex")
    return standing


async def _alone(settings: Settings, wanted: Wanted, *, quiet: bool) -> dict[str, Any]:
    """Does it in this process."""
    from rich.console import Console
    from rich.progress import Progress

    from ingest.reindex import Copy
    from rag.generation import open_replacement, replace_index
    from rag.index.embedders.config import OnnxEmbedderConfig

    if wanted.embedder:
        settings = replace(settings, embedder=OnnxEmbedderConfig(model=wanted.embedder))
    with Progress(disable=quiet, transient=True, console=Console(stderr=True)) as progress:
        async with open_replacement(settings) as replacement:
            task = progress.add_task("copying", total=await replacement.old.n_documents())
            copy = Copy(replacement.old, documents_per_s=wanted.documents_per_s)
            report = await replace_index(replacement, copy, lambda _: progress.advance(task))
        if not report.failed and not wanted.keep_previous:
            await replacement.rebuild.discard_previous()
    reason = f"{report.failed} failed, the first because {report.failures[0].reason}" if report.failed else ""
    return {
        "state": "failed" if report.failed else "done",
        "documents": report.n_documents,
        "copied": report.n_documents - report.failed,
        "deleted": report.deleted,
        "chunks": report.chunks,
        "reason": reason,
    }


def _tell(standing: dict[str, Any], wanted: Wanted) -> None:
    counts = f"{standing['copied']} documents, {standing['chunks']} chunks embedded"
    if standing["state"] != "done":
        click.echo(
            f"{counts}; {standing['state']}, the old index stays in use: {standing['reason'] or 'go on any time'}"
        )
        return
    click.echo(f"{counts}; the new index is in use")
    if standing.get("overlap_10") is not None:
        share = f"{standing['overlap_10']:.0%}"
        click.echo(f"it finds {share} of what the old one found for the last {standing['questions']} questions")
    if wanted.embedder:
        click.echo(f'write embedder.model = "{wanted.embedder}" into the settings before the next start')
