"""`rag log`."""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import click

from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.records.export import Format
    from rag.records.requests import RequestRecord

FOLLOW_S = 0.5
_PAGE = 500


@click.group("log")
def command() -> None:
    """Show, export and erase the log of requests. Reads the database itself, whether or not a server runs."""


@command.command("tail")
@click.option("-n", "--lines", "n_lines", type=click.IntRange(0, 10_000), default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@options.as_json
@click.pass_context
def tail(ctx: click.Context, n_lines: int, follow: bool, as_json: bool) -> None:
    """Print the newest requests, oldest of them first."""
    run(_tail(options.settings_of(ctx), n_lines, follow=follow, as_json=as_json))


@command.command("export")
@click.option("--since", type=click.DateTime(), help="Only requests that ended then or later, in UTC.")
@click.option("--format", "kind", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@click.option("-o", "--output", type=click.File("wb"), default="-", help="File to write [default: stdout].")
@click.pass_context
def export(ctx: click.Context, since: datetime | None, kind: "Format", output: BinaryIO) -> None:
    """Write every request, oldest first, each with its feedback."""
    run(_export(options.settings_of(ctx), since, output, kind))


@command.command("erase")
@click.option("--subject", required=True, help="Whose requests and feedback to remove.")
@click.option("--tenant", default="default", show_default=True)
@click.pass_context
def erase(ctx: click.Context, subject: str, tenant: str) -> None:
    """Remove all that the log holds of one user."""
    run(_erase(options.settings_of(ctx), tenant, subject))


async def _tail(settings: Settings, n_lines: int, *, follow: bool, as_json: bool) -> int:
    from rag.records import requests
    from rag.records.database import open_database

    def show(records: "Iterable[RequestRecord]", last: str) -> str:
        """Prints them and says where to go on."""
        for record in records:
            click.echo(_line(record, as_json=as_json))
            last = record.id
        return last

    async with open_database(settings.records, settings.data_dir) as database:
        last = show(reversed(await database.run(lambda connection: requests.latest(connection, n_lines))), "")
        while follow:
            await asyncio.sleep(FOLLOW_S)
            last = show(await database.run(partial(requests.following, limit=_PAGE, after=last)), last)
    return 0


async def _export(settings: Settings, since: datetime | None, output: BinaryIO, kind: "Format") -> int:
    from rag.records.database import open_database
    from rag.records.export import exported, writer_to

    since_s = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    async with open_database(settings.records, settings.data_dir) as database:
        with closing(writer_to(output, kind)) as writer:
            async for page in exported(database, since_s):
                writer.write(page)
    return 0


async def _erase(settings: Settings, tenant: str, subject: str) -> int:
    from rag.records import requests
    from rag.records.database import open_database

    async with open_database(settings.records, settings.data_dir) as database:
        n_gone = await database.run(lambda connection: requests.erase(connection, tenant, subject))
    click.echo(f"erased {n_gone} requests of {subject} in the tenant {tenant}")
    return 0


def _line(record: "RequestRecord", *, as_json: bool) -> str:
    if as_json:
        import msgspec

        return msgspec.json.encode(record).decode()
    parts = (
        datetime.fromtimestamp(record.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        f"{record.outcome:9s}",
        f"{1000 * record.duration_s:7.0f} ms",
        f"{record.input_tokens:6d} + {record.output_tokens:5d} tokens",
        record.model or "-",
        f"{record.tenant}/{record.subject}",
        record.request_id,
        record.error or "",
        *(f"degraded: {stage}" for stage in record.degraded),
    )
    return "  ".join(part for part in parts if part)
