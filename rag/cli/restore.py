"""`rag restore`."""

from pathlib import Path

import click
import msgspec

from rag.base.errors import ConfigError
from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Put it in the place of what the data folder holds, which is then gone.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, file: Path, force: bool, as_json: bool) -> None:
    """Put what `rag backup` wrote into FILE into the data folder, which no process may have open.

    Every sum is checked before anything changes. Killed at any moment, the folder holds what it held, or the next
    command puts the rest of the backup into its place.
    """
    run(_restore(options.settings_of(ctx), file, force=force, as_json=as_json))


async def _restore(settings: Settings, file: Path, *, force: bool, as_json: bool) -> int:
    from rag.backup.restoring import restore
    from rag.cli.connection import running_server
    from rag.index.factory import INDEX
    from rag.index.rebuild import require_unused

    if state := await running_server(settings.data_dir):
        raise ConfigError(f"the server at {state.url} has {settings.data_dir} open; stop it first")
    require_unused(settings.data_dir / INDEX)
    contents = await restore(file, settings, force=force)
    if as_json:
        told = {"version": contents.version, "made_at": contents.made_at, "files": len(contents.files)}
        click.echo(msgspec.json.encode({**told, "bytes": contents.n_bytes}))
    else:
        click.echo(f"{len(contents.files)} files of {contents.made_at:%Y-%m-%d %H:%M} UTC, in {settings.data_dir}")
    return 0
