"""Options that several commands share, and the settings that they lead to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from rag.settings import FILE_NAME, Settings, load_settings

RESTORED = "restored"
"""`rag.backup.restoring.READY`, which is imported only where there is one."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")
filters = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only documents with this value; several values of a field separated by commas; repeatable.",
)


def settings_of(ctx: click.Context) -> Settings:
    """The effective settings of this command line; a restore that was killed in their data folder is ended first.

    Raises ConfigError.
    """
    given: dict[str, Path | None] = ctx.find_root().obj
    settings = load_settings(given["config"])
    data_dir = given["data_dir"]
    settings = msgspec.structs.replace(settings, data_dir=data_dir.resolve()) if data_dir else settings
    if _waits(settings.data_dir / RESTORED):
        from rag.backup.restoring import complete

        complete(settings.data_dir)
    return settings


def _waits(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:  # who opens the data folder says what is wrong with it, and not every command does
        return False


def file_of(ctx: click.Context) -> Path | None:
    """The settings file of this command line, if there is one."""
    given: Path | None = ctx.find_root().obj["config"]
    return given or (Path(FILE_NAME) if Path(FILE_NAME).is_file() else None)


def not_blank(_: click.Context, parameter: click.Parameter, value: str) -> str:
    """The argument as it is, as a callback of it; raises BadParameter where it says nothing."""
    if not value.strip():
        raise click.BadParameter("it is empty", param=parameter)
    return value


def parsed_filters(given: tuple[str, ...]) -> dict[str, Any]:
    """`("format=pdf,html",)` as the filters object of the HTTP interface. Numbers and true/false are read as such."""
    return parsed_pairs("--filter", given)


def parsed_pairs(option: str, given: tuple[str, ...]) -> dict[str, Any]:
    """`("team=ops,dev", "year=2026")` as {"team": ["ops", "dev"], "year": 2026}. Raises BadParameter."""
    pairs: dict[str, Any] = {}
    for item in given:
        field, equals, value = item.partition("=")
        if not equals or not field:
            raise click.BadParameter(f"takes FIELD=VALUE, got '{item}'", param_hint=option)
        values = [_scalar(piece) for piece in value.split(",")]
        pairs[field] = values[0] if len(values) == 1 else values
    return pairs


def _scalar(text: str) -> str | float | bool:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, (int, float, bool)) else text


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, `--filter` and the context, for commands that ask the server."""
    return click.pass_context(as_json(filters(function)))
