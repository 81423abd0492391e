"""`rag bench`."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import click
import msgspec
import uvloop

from rag.cli import options
from rag.cli.bench_drill import drill
from rag.cli.bench_models import embed, ingest, rerank
from rag.cli.bench_servers import ask, cache, gateway, recall, search
from rag.cli.bench_strain import beside, overload, soak
from rag.cli.bench_tracing import tracing
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from rag.compose import Services


@click.group("bench")
def command() -> None:
    """Measure speed, and stand in for providers."""


for measuring in (search, ask, gateway, cache, recall, overload, beside, soak, embed, rerank, ingest, drill, tracing):
    command.add_command(measuring)


@command.command("load")
@click.argument("plan", type=click.File("rb"))
def load(plan: Any) -> None:
    """Put the load of PLAN, a JSON file, on a server and print what came of it as JSON."""
    run(_load(plan.read()), loop=uvloop.new_event_loop)


async def _load(data: bytes) -> int:
    from rag.bench.load.generate import generate
    from rag.bench.load.plan import read_plan

    click.echo(msgspec.json.encode(await generate(read_plan(data))))
    return 0


@command.command("peer")
@click.argument("name", type=click.Choice(["threads", "sentence-transformers", "stubbed"]))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on [default: a free one].")
@click.option("--embedder", default="", help="The folder of the original embedder.")
@click.option("--reranker", default="", help="The folder of the original cross-encoder.")
@click.pass_context
def peer(ctx: click.Context, name: str, port: int, embedder: str, reranker: str) -> None:
    """Serve what the service is measured against, over the data folder."""
    from rag.serve.server import bind

    opened = _opened_peer(name, options.settings_of(ctx), embedder, reranker)
    bound = bind("127.0.0.1", port)
    click.echo(f"{name} listens on http://127.0.0.1:{bound.getsockname()[1]}", err=True)
    run(_peer(opened, bound), loop=uvloop.new_event_loop)


def _opened_peer(
    name: str, settings: Settings, embedder: str, reranker: str
) -> "AbstractAsyncContextManager[Services]":
    from rag.bench.peers.stubbed import open_stubbed
    from rag.bench.peers.unbatched import onnx_models, open_unbatched, torch_models

    if name == "stubbed":
        return open_stubbed(settings)
    models = onnx_models(settings) if name == "threads" else torch_models(settings, embedder, reranker)
    return open_unbatched(settings, models)


async def _peer(opened: "AbstractAsyncContextManager[Services]", bound: socket) -> int:
    from rag.serve.interpreter import ready_the_interpreter
    from rag.serve.server import serve

    await serve(opened, bound, version=version("groundwire"), on_listening=ready_the_interpreter)
    return 0


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
