"""`rag accounts`."""

import click
import msgspec

from rag.cli import options
from rag.cli.main import run
from rag.govern.allowance import MICROUSD
from rag.govern.ledger import Balance
from rag.settings import Settings


@click.command("accounts")
@click.argument("names", nargs=-1, metavar="[ACCOUNT]...")
@options.as_json
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Show what accounts spent, by period. A key's own account is `key:ID`."""
    run(_accounts(options.settings_of(ctx), names, as_json=as_json))


async def _accounts(settings: Settings, names: tuple[str, ...], *, as_json: bool) -> int:
    from rag.govern.factory import open_ledger

    async with open_ledger(settings.ledger, settings.data_dir) as ledger:
        balances = await ledger.balances(names)
    if as_json:
        click.echo(msgspec.json.encode(balances))
    else:
        _print(balances, settings)
    return 0


def _print(balances: list[Balance], settings: Settings) -> None:
    if not balances:
        click.echo("nothing was spent under a budget yet", err=True)
    for balance in balances:
        allowance = settings.accounts.get(balance.account)
        of = f" of ${allowance.budget_usd:.2f}" if allowance and allowance.budget_usd is not None else ""
        held = f", ${balance.reserved_microusd / MICROUSD:.6f} set aside" if balance.reserved_microusd else ""
        spent = balance.spent_microusd / MICROUSD
        click.echo(f"{balance.account}  {balance.period}  ${spent:.6f}{of}{held}")
