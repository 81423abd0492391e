"""`rag bench`."""

import asyncio
from pathlib import Path

import click
import uvloop

from rag.cli.main import run


@click.group("bench")
def command() -> None:
    """Measure speed, and stand in for providers."""


@command.command("upstream")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on [default: a free one].")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Scripts in JSON, by model and by key [default: answer everything at once].",
)
def upstream(host: str, port: int, script: Path | None) -> None:
    """Be OpenAI, Azure, Anthropic, Gemini and Bedrock until Ctrl-C, by the delays and faults of a script."""
    run(_upstream(host, port, script), loop=uvloop.new_event_loop)


async def _upstream(host: str, port: int, script: Path | None) -> int:
    from rag.bench.upstream.script import Prompter, read_book
    from rag.bench.upstream.server import Upstream

    book = read_book(await asyncio.to_thread(script.read_bytes)) if script else None
    server = await Upstream(Prompter(book)).listen(host, port)
    async with server:
        click.echo(f"a simulated provider listens on http://{host}:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()
    return 0
