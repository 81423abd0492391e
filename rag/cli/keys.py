"""`rag keys`."""

import os
from pathlib import Path
from typing import get_args

import click
import msgspec

from rag.base.errors import ConfigError
from rag.base.types import Scope
from rag.govern.keys import KeyConfig, new_key, read_keys

MAX_NAME_CHARS = 200


def _named(_: click.Context, option: click.Parameter, given: str) -> str:
    if not 0 < len(given.strip()) <= MAX_NAME_CHARS:
        raise click.BadParameter(f"takes a name of 1 to {MAX_NAME_CHARS} characters", param=option)
    return given


@click.group("keys")
def command() -> None:
    """Make API keys. Only their hashes are stored."""


@command.command("create")
@click.option("--subject", required=True, callback=_named, help="Who holds it, such as a person or a service.")
@click.option("--tenant", default="default", show_default=True, callback=_named)
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
        _add(file, key)
    click.echo(token)


def _add(file: Path, key: KeyConfig) -> None:
    """Writes the file anew, readable by this user only. Raises ConfigError."""
    kept = read_keys(file) if file.exists() else ()
    temporary = file.with_suffix(file.suffix + ".tmp")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode([*kept, key]), indent=2) + b"\n")
        temporary.replace(file)
    except OSError as error:
        raise ConfigError(f"the keys file {file} cannot be written: {error.strerror}") from error
