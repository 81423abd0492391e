"""`rag traces`."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rag.base.errors import Unavailable
from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import one_line
from rag.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

BAR_COLUMNS = 40


@click.group("traces")
def command() -> None:
    """Show where the time of recent requests went. Asks the running server, which has the last traces in memory."""


@command.command("list")
@click.option("-n", "--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@options.as_json
@click.pass_context
def list_(ctx: click.Context, limit: int, as_json: bool) -> None:
    """Print the last traces, newest first."""
    run(_list(options.settings_of(ctx), limit, as_json=as_json))


@command.command("show")
@click.argument("identifier", metavar="ID")
@click.option("--attributes", is_flag=True, help="With all that is known of each span.")
@options.as_json
@click.pass_context
def show(ctx: click.Context, identifier: str, attributes: bool, as_json: bool) -> None:
    """Print one trace as a waterfall; ID is that of the trace or of the request."""
    run(_show(options.settings_of(ctx), identifier, attributes=attributes, as_json=as_json))


async def _list(settings: Settings, limit: int, *, as_json: bool) -> int:
    listing = await _asked(settings, "/traces", limit=limit)
    if as_json:
        click.echo(json.dumps(listing))
        return 0
    for trace in listing["traces"]:
        when = datetime.fromtimestamp(trace["started_s"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        error = f"  {one_line(trace['error'])}" if trace["error"] else ""
        click.echo(
            f"{when}  {trace['trace_id']}  {1000 * trace['duration_s']:9.1f} ms  {one_line(trace['name'])}{error}"
        )
    return 0


async def _show(settings: Settings, identifier: str, *, attributes: bool, as_json: bool) -> int:
    trace = await _asked(settings, f"/traces/{identifier}")
    if as_json:
        click.echo(json.dumps(trace))
        return 0
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(f"trace {trace['trace_id']}  request {trace['request_id']}  {1000 * trace['duration_s']:.1f} ms")
    spans = _placed([*trace["spans"], *trace["batches"]])
    width = max((len(span["name"]) + 2 * depth for depth, span in spans), default=0)
    for depth, span in spans:
        console.print(_row(span, depth, width, trace["duration_s"]))
        for name, value in span["attributes"].items() if attributes else ():
            console.print(f"{'  ' * (depth + 1)}{name} = {one_line(str(value))}", style="dim", markup=False)
    return 0


async def _asked(settings: Settings, path: str, **params: Any) -> Any:
    from rag.cli.connection import asked, connected, running_server

    if await running_server(settings.data_dir) is None:
        raise Unavailable("no server runs on this data folder; traces are in its memory (`rag log tail` has requests)")
    async with connected(settings) as client:
        return await asked(client, "GET", path, params=params)


def _placed(spans: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Each span with its depth, below its parent; what has no parent here, or is a shared batch, stands at its link."""
    known = {span["span_id"] for span in spans}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for span in spans:
        linked = next((link[1] for link in span["links"] if link[1] in known), None)
        parent = span["parent_id"] if span["parent_id"] in known else linked
        children.setdefault(parent, []).append(span)
    placed: list[tuple[int, dict[str, Any]]] = []

    def place(parent: str | None, depth: int) -> None:
        for span in sorted(children.get(parent, ()), key=lambda span: span["start_s"]):
            placed.append((depth, span))
            place(span["span_id"], depth + 1)

    place(None, 0)
    return placed


def _row(span: dict[str, Any], depth: int, width: int, whole_s: float) -> "Text":
    from rich.text import Text

    per_s = BAR_COLUMNS / whole_s if whole_s else 0.0
    start = min(BAR_COLUMNS - 1, max(0, int(span["start_s"] * per_s)))
    length = max(1, min(BAR_COLUMNS - start, round(span["duration_s"] * per_s)))
    name = f"{'  ' * depth}{one_line(span['name'])}".ljust(width)
    bar = f"{' ' * start}{'━' * length}".ljust(BAR_COLUMNS)
    notes = [span["error"] or "", f"serves {len(span['links'])}" if len(span["links"]) > 1 else ""]
    return Text.assemble(
        f"{name}  ",
        (bar, "red" if span["error"] else "cyan"),
        f"  {1000 * span['duration_s']:8.2f} ms  ",
        (one_line(" ".join(note for note in notes if note)), "yellow"),
    )
