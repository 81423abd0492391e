"""`rag serve`."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop
from msgspec.structs import replace

from rag.cli import options
from rag.cli.main import run
from rag.govern.keys import new_local_token
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.compose import Services


@click.command("serve")
@click.option("--host", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one [default: 8080].")
@click.pass_context
def command(ctx: click.Context, host: str | None, port: int | None) -> None:
    """Serve /ask, /search and /documents over HTTP until SIGTERM or Ctrl-C."""

    def read() -> Settings:
        settings = options.settings_of(ctx)
        server = settings.server
        server = replace(server, host=host or server.host, port=server.port if port is None else port)
        return with_keys(replace(settings, server=server), token)

    from rag.compose import with_keys

    token = new_local_token()
    run(_serve(read, options.file_of(ctx), token), loop=uvloop.new_event_loop)


async def _serve(read: Callable[[], Settings], file: Path | None, token: str) -> int:
    from rag.cli.connection import ServerState, remove_state, write_state
    from rag.compose import open_services
    from rag.govern.keys import KeyRing, check_bind
    from rag.reload import following
    from rag.serve.interpreter import ready_the_interpreter
    from rag.serve.server import bind, serve
    from rag.telemetry.logs import configure
    from rag.upkeep import upkeep

    @asynccontextmanager
    async def opened() -> AsyncIterator["Services"]:
        async with (
            open_services(settings, keys, read) as services,
            following(services.reloader, *files),
            upkeep(services.succession, _rebuild_after(settings)),
        ):
            yield services

    settings = read()
    configure(settings.logs, sys.stderr)
    files = [path for path in (file, settings.auth.keys_file, settings.prompts_dir) if path is not None]
    keys = KeyRing(settings.auth.keys)
    check_bind(settings.server.host, keys)
    bound = bind(settings.server.host, settings.server.port)
    host, port = bound.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def announce() -> None:
        ready_the_interpreter()
        write_state(settings.data_dir, ServerState(url=url, pid=os.getpid(), token=None if keys.is_open else token))
        click.echo(f"Groundwire listens on {url}  (API: {url}/schema, data: {settings.data_dir})", err=True)

    try:
        await serve(opened(), bound, version=version("groundwire"), on_listening=announce)
    finally:
        remove_state(settings.data_dir)
    return 0


def _rebuild_after(settings: Settings) -> int:
    from rag.index.config import EdgeConfig

    return settings.index.rebuild_after_chunks if isinstance(settings.index, EdgeConfig) else 0
