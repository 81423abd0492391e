"""The `rag` command. Each subcommand lives in a module of its own and is imported when it runs."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from rag.base.errors import CallerError, ConfigError, GroundwireError
from rag.cli.terminal import visible

COMMANDS = {
    "serve": "Serve /ask, /search and /documents over HTTP.",
    "worker": "Index what servers were handed.",
    "ingest": "Read documents into the index.",
    "ask": "Ask a question and print the answer with its citations.",
    "search": "Print the passages that match best.",
    "documents": "List, show and delete documents.",
    "reindex": "Build the index anew with the present settings.",
    "backup": "Write all that the data folder holds into one file.",
    "restore": "Put such a file into a data folder.",
    "keys": "Make, list, rotate and revoke API keys.",
    "accounts": "Show what accounts spent.",
    "routes": "Show whom routes would ask, and why.",
    "prompts": "List and show prompts.",
    "cache": "Report on, explain and clear the answer cache.",
    "models": "List, verify, export and fetch models.",
    "traces": "Show where the time of recent requests went.",
    "log": "Show, export and erase the log of requests.",
    "eval": "Measure retrieval and answers on a judged collection.",
    "bench": "Measure speed, and stand in for providers.",
    "check-config": "Print the effective settings, secrets hidden.",
    "version": "Print versions.",
}
"""Name to one line of help, so that `rag --help` imports no command. Each lives in `rag.cli.<name>`, as `command`."""

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"rag.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, from their names alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RAG_CONFIG",
    help="Settings file [default: rag.toml here, if there is one].",
)
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder of the index and its state.")
@click.pass_context
def rag(ctx: click.Context, config: Path | None, data_dir: Path | None) -> None:
    """Groundwire answers questions over your documents, with citations.

    Start with `rag ingest FOLDER`, then `rag ask "..."` or `rag serve`.

    Exit codes: 0 done, 1 something failed (a document, a gate), 2 wrong usage or settings, 3 a server, store or model
    is not available.
    """
    ctx.obj = {"config": config, "data_dir": data_dir}


def run(work: Coroutine[Any, Any, int], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> NoReturn:
    """Runs one command's coroutine, on a loop of its own kind if one is given, and exits with what it returns.

    SIGTERM ends it as Ctrl-C does: what is open gets closed.
    """
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            sys.exit(runner.run(_terminable(work)))
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except asyncio.CancelledError:
        _terminate()


def _terminate(*_: object) -> NoReturn:
    click.echo("terminated", err=True)
    sys.exit(EXIT_TERMINATED)


async def _terminable(work: Coroutine[Any, Any, int]) -> int:
    working = asyncio.ensure_future(work)
    # Not by way of SIGINT, which is ignored in what a shell starts in the background.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    return await working


def main() -> None:
    """The entry point: what is raised on purpose becomes one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            rag(prog_name="rag")
        finally:
            sys.stdout.flush()
    except GroundwireError as error:
        click.echo(f"error: {visible(str(error))}", err=True)
        sys.exit(_exit_code(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo("error: the output cannot be written: no space is left there", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter tries once more at its end
        sys.exit(EXIT_FAILED)


def _exit_code(error: GroundwireError) -> int:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG
    return EXIT_FAILED if isinstance(error, CallerError) else EXIT_UNAVAILABLE
