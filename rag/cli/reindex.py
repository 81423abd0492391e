"""`rag reindex`."""

from typing import TYPE_CHECKING

import click
import msgspec

from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from ingest.outcome import Report
    from rag.compose import Rebuild


@click.command("reindex")
@options.as_json
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Build the index anew with the settings as they are now, from the texts that it holds.

    For another embedder, other chunks or other BM25 settings. No server may hold the data folder. The old index stays
    in use until the new one holds every document; a run that was killed goes on where it was.
    """
    run(_reindex(options.settings_of(ctx), as_json=as_json))


async def _reindex(settings: Settings, *, as_json: bool) -> int:
    from rag.base.errors import ConfigError
    from rag.cli.connection import running_server
    from rag.compose import open_rebuild

    state = await running_server(settings.data_dir)
    if state is not None:
        raise ConfigError(f"the server at {state.url} holds the data folder; stop it before `rag reindex`")
    async with open_rebuild(settings) as rebuild:
        reports = [await _rebuilt(rebuild, tenant, quiet=as_json) for tenant in await rebuild.old.tenants()]
        n_failed = sum(report.failed for report in reports)
        if not n_failed:
            await rebuild.adopt()
    if as_json:
        click.echo(msgspec.json.encode({"adopted": not n_failed, "reports": reports}))
    else:
        n_documents = sum(report.added + report.duplicate + report.unchanged + report.updated for report in reports)
        told = "the new index is in use" if not n_failed else f"{n_failed} failed: the old index stays in use"
        click.echo(f"{n_documents} documents in {sum(report.seconds for report in reports):.1f} s; {told}")
    return 1 if n_failed else 0


async def _rebuilt(rebuild: "Rebuild", tenant: str, *, quiet: bool) -> "Report":
    from rich.console import Console
    from rich.progress import Progress

    from ingest.reindex import stored_drafts
    from rag.govern.access import managed_in

    with Progress(disable=quiet, transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(tenant, total=await rebuild.old.count(managed_in(tenant)))
        return await rebuild.indexer.run(stored_drafts(rebuild.old, tenant), tenant, lambda _: progress.advance(task))
