"""`rag check-config`."""

import click

from rag.cli import options
from rag.settings import shown


@click.command("check-config")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print the effective settings as JSON, secrets hidden; exit with 2 and the path of the fault if they are wrong."""
    click.echo(shown(options.settings_of(ctx)).decode())
