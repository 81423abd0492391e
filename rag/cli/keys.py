"""`rag keys`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import click
import msgspec

from rag.base.types import Scope
from rag.cli import options
from rag.govern.allowance import AccountPath, Allowance, Period
from rag.govern.keys import KeyConfig, new_key
from rag.govern.keys_file import Keys, change_keys, read_keys, revoked, rotated

MAX_NAME_CHARS = 200

keys_file = click.option(
    "--file", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True), help="The keys file."
)


def _named(_: click.Context, option: click.Parameter, given: str) -> str:
    if not 0 < len(given.strip()) <= MAX_NAME_CHARS:
        raise click.BadParameter(f"takes a name of 1 to {MAX_NAME_CHARS} characters", param=option)
    return given


def _account(_: click.Context, option: click.Parameter, given: str | None) -> str | None:
    try:
        return msgspec.convert(given, AccountPath | None)
    except msgspec.ValidationError as fault:
        raise click.BadParameter("takes ORGANISATION, ORGANISATION/TEAM or .../PROJECT", param=option) from fault


@click.group("keys")
def command() -> None:
    """Make, list, rotate and revoke API keys. Only their hashes are stored."""


@command.command("create")
@click.option("--subject", required=True, callback=_named, help="Who holds it, such as a person or a service.")
@click.option("--tenant", default="default", show_default=True, callback=_named)
@click.option("--group", "groups", multiple=True, help="A group of the holder; repeatable.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)), default=("read",), show_default=True
)
@click.option("--account", callback=_account, help="The account it draws on, one of [accounts] in the settings.")
@click.option("--budget-usd", type=click.FloatRange(min=0), help="The most it may spend in each period.")
@click.option("--period", type=click.Choice(get_args(Period)), default="month", show_default=True)
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="The most it may ask.")
@click.option("--tokens-per-minute", type=click.IntRange(min=1), help="The most that models may read and write for it.")
@click.option("--model", "models", multiple=True, help="A model or route it may use, * for any characters; repeatable.")
@click.option("--expires-in-days", type=click.FloatRange(min=0, min_open=True), help="When it ends. Never, if absent.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add it to this keys file (made if it is not there). Without, print what to put into one.",
)
def create(
    subject: str,
    tenant: str,
    groups: tuple[str, ...],
    scopes: tuple[Scope, ...],
    account: str | None,
    budget_usd: float | None,
    period: Period,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    models: tuple[str, ...],
    expires_in_days: float | None,
    file: Path | None,
) -> None:
    """Make a key and print it, this once."""
    token, made = new_key(subject, tenant=tenant, groups=groups, scopes=scopes)
    allowance = Allowance(
        budget_usd=budget_usd,
        period=period if budget_usd is not None else "month",
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        models=models or None,
    )
    ends_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    key = msgspec.structs.replace(made, account=account, allowance=allowance, expires_at=ends_at)
    if file is None:
        click.echo(msgspec.json.format(msgspec.json.encode([key]), indent=2).decode(), err=True)
    else:
        change_keys(file, lambda kept: (*kept, key))
    click.echo(token)


@command.command("list")
@keys_file
@options.as_json
def show(file: Path, as_json: bool) -> None:
    """Show the keys of a file, without what would open anything."""
    keys = read_keys(file)
    if as_json:
        click.echo(msgspec.json.encode([_shown(key) for key in keys]))
        return
    for key in keys:
        ends = f", ends {key.expires_at:%Y-%m-%d %H:%M %Z}" if key.expires_at else ""
        account = f", account {key.account}" if key.account else ""
        click.echo(f"gw_{key.id}_...  {key.subject} ({key.tenant}): {', '.join(sorted(key.scopes))}{account}{ends}")


@command.command("rotate")
@click.argument("key_id")
@keys_file
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    help="For how long the old key still opens.",
)
def rotate(key_id: str, file: Path, overlap_hours: float) -> None:
    """Make a key in place of KEY_ID and print it, this once. It goes on with the old one's budget."""
    tokens = []

    def change(kept: Keys) -> Keys:
        token, keys = rotated(kept, key_id, datetime.now(UTC), timedelta(hours=overlap_hours))
        tokens.append(token)
        return keys

    change_keys(file, change)
    click.echo(tokens[0])


@command.command("revoke")
@click.argument("key_id")
@keys_file
def revoke(key_id: str, file: Path) -> None:
    """Take the key KEY_ID out of the file."""
    change_keys(file, lambda kept: revoked(kept, key_id))
    click.echo(f"gw_{key_id}_... opens nothing any more", err=True)


def _shown(key: KeyConfig) -> dict[str, object]:
    """The key as it may be seen: all but its hash."""
    fields: dict[str, object] = msgspec.to_builtins(key)
    return {name: value for name, value in fields.items() if name != "hash"}
