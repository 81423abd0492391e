"""`rag backup`."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rag.base.errors import Conflict
from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.cli.connection import ServerState

WITHIN_S = 3600.0
"""How long a server may take for it."""


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@options.as_json
@click.pass_context
def command(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Write what the data folder holds into FILE, which must not be there yet. A running server goes on answering.

    The index, the records, what was spent, what was read from where, and the models that were exported here; not the
    settings and the keys file, and not the answers that are kept. FILE holds every document, so only you may read it.
    `rag restore FILE` puts it back.
    """
    if file.exists():
        raise Conflict(f"{file} is there already; name another file")
    run(_backup(options.settings_of(ctx), file, as_json=as_json))


async def _backup(settings: Settings, file: Path, *, as_json: bool) -> int:
    from rag.cli.connection import running_server

    state = await running_server(settings.data_dir)
    taken = await (_alone(settings) if state is None else _served(state))
    _move(settings.data_dir / taken["file"], file)
    told = {**taken, "file": str(file)}
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        click.echo(f"{told['files']} files, {told['bytes'] / 1e6:,.1f} MB, in {file}")
    return 0


async def _served(state: "ServerState") -> dict[str, Any]:
    from rag.cli.connection import asked, client_of

    async with client_of(state) as client:
        taken: dict[str, Any] = await asked(client, "POST", "/admin/backup", timeout=WITHIN_S)
    return taken


async def _alone(settings: Settings) -> dict[str, Any]:
    from rag.backup.taking import Backups

    taken = await Backups(settings, lambda: _held(settings)).take()
    told: dict[str, Any] = msgspec.to_builtins(taken)
    return told


@asynccontextmanager
async def _held(settings: Settings) -> AsyncIterator[None]:
    """Keeps other processes out of an embedded index, if there is one. Raises ConfigError while one is in it."""
    from rag.index.config import EdgeConfig
    from rag.index.factory import INDEX
    from rag.index.manifest import MANIFEST
    from rag.index.rebuild import open_as_built

    index = settings.data_dir / INDEX
    if not (isinstance(settings.index, EdgeConfig) and (index / MANIFEST).exists()):
        yield
        return
    store = await open_as_built(index, settings.index)
    try:
        yield
    finally:
        await store.close()


def _move(source: Path, target: Path) -> None:
    """Puts the archive where it is wanted, at once: it is whole there or not there."""
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise Conflict(f"{target} is there already; name another file") from error
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.ENOTSUP}:
            raise
        _copy(source, target)
    source.unlink()


def _copy(source: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    with source.open("rb") as raw, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
        shutil.copyfileobj(raw, copy)
        copy.flush()
        os.fsync(copy.fileno())
    draft.rename(target)
