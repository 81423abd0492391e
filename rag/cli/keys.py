"""`rag keys`."""

from pathlib import Path
from typing import get_args

import click
import msgspec

from rag.base.types import Scope
from rag.govern.keys import new_key, read_keys


@click.group("keys")
def command() -> None:
    """Make API keys. Only their hashes are stored."""


@command.command("create")
@click.option("--subject", required=True, help="Who holds it, such as a person or a service.")
@click.option("--tenant", default="default", show_default=True)
@click.option("--group", "groups", multiple=True, help="A group of the holder; repeatable.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)), default=("read",), show_default=True
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add it to this keys file (made if it is not there). Without, print what to put into one.",
)
def create(subject: str, tenant: str, groups: tuple[str, ...], scopes: tuple[Scope, ...], file: Path | None) -> None:
    """Make a key and print it, this once."""
    token, key = new_key(subject, tenant=tenant, groups=groups, scopes=scopes)
    if file is None:
        click.echo(msgspec.json.format(msgspec.json.encode([key]), indent=2).decode(), err=True)
    else:
        kept = read_keys(file) if file.exists() else ()
        temporary = file.with_suffix(file.suffix + ".tmp")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode([*kept, key]), indent=2) + b"\n")
        temporary.chmod(0o600)
        temporary.replace(file)
    click.echo(token)
