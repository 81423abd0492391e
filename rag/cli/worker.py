"""`rag worker`."""

import asyncio
import signal
import sys

import click
import uvloop

from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings


@click.command("worker")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Index what servers were handed, until SIGTERM or Ctrl-C. Any number of workers share the work."""
    run(_work(options.settings_of(ctx)), loop=uvloop.new_event_loop)


async def _work(settings: Settings) -> int:
    from rag.compose import open_worker
    from rag.telemetry.logs import configure

    configure(settings.logs, sys.stderr)
    async with open_worker(settings) as shift:
        working = asyncio.create_task(shift.work())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        click.echo(f"Groundwire works (queue: {shift.queue.name})", err=True)
        await asyncio.wait({working})
        if not working.cancelled():
            working.result()
    return 0
