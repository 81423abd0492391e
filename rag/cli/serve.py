"""`rag serve`."""

import gc
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


SWITCH_S = 0.001
"""How long a thread may keep the interpreter from the event loop: with Python's 5 ms an event waited 95 to 211 ms in
the worst of a hundred cases, with this 64 to 103, for some 2 % more CPU (2 cores, 32 searches, 2026-11-23)."""


YOUNG_OBJECTS = 3_000
"""How many more objects there may be before the collector looks; with 10,000 it stops everything for 5 ms, not 1.5."""


async def _serve(read: Callable[[], Settings], file: Path | None, token: str) -> int:
    from rag.cli.connection import ServerState, remove_state, write_state
    from rag.compose import open_services
    from rag.govern.keys import KeyRing, check_bind
    from rag.reload import following
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

    sys.setswitchinterval(SWITCH_S)
    settings = read()
    configure(settings.logs, sys.stderr)
    files = [file for file in (file, settings.auth.keys_file) if file is not None]
    keys = KeyRing(settings.auth.keys)
    check_bind(settings.server.host, keys)
    bound = bind(settings.server.host, settings.server.port)
    host, port = bound.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def announce() -> None:
        _keep_what_is_there()
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


def _keep_what_is_there() -> None:
    """Spares the garbage collector what lives as long as the server: 84,000 objects after the start.

    It stopped everything for 160 ms to look through them, every few thousand requests; without, a full collection takes
    well under a millisecond, and a request a tenth less (2 cores, busy, 2026-11-23). What a batch of searches makes and
    drops is more than Python's 700 objects: looked at that often it costs 49 µs of each, at 3,000 it is 17.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
