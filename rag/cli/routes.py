"""`rag routes`."""

import json
from typing import Any
from urllib.parse import quote

import click

from rag.cli import options
from rag.cli.main import run


@click.group("routes")
def command() -> None:
    """Show whom routes would ask, and why."""


@command.command("list")
@options.as_json
@click.pass_context
def list_routes(ctx: click.Context, as_json: bool) -> None:
    """Print every route and model with the target that would be asked now."""
    run(_show(ctx, "/admin/routes", {}, as_json=as_json))


@command.command("explain")
@click.argument("name")
@click.option("--prompt-tokens", type=click.IntRange(0), default=0, help="Length of the prompt.", show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=256, help="Length of the answer.", show_default=True)
@options.as_json
@click.pass_context
def explain(ctx: click.Context, name: str, prompt_tokens: int, max_tokens: int, as_json: bool) -> None:
    """Print every candidate of a route with what keeps it out and what speaks for it. Asks nobody."""
    query = {"prompt_tokens": prompt_tokens, "max_tokens": max_tokens}
    run(_show(ctx, f"/admin/routes/{quote(name, safe='')}", query, as_json=as_json))


async def _show(ctx: click.Context, path: str, query: dict[str, int], *, as_json: bool) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        told = await asked(client, "GET", path, params=query)
    if as_json:
        click.echo(json.dumps(told))
    else:
        for route in told.get("routes", [told]):
            _print(route)
    return 0


def _print(route: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    chosen = route["chosen"] or "nobody"
    table = Table("target", "why not", "breaker", "calls", "expected", "score", title_justify="left", box=None)
    table.title = f"{route['route']}: asks {chosen} ({route['reason']})"
    for one in route["candidates"]:
        why = one["excluded"] or ""
        if one["ready_in_s"] is not None:
            why += f", back in {one['ready_in_s']:.1f} s"
        name = one["target"] if one["listed"] == "targets" else f"{one['target']} (on.{one['listed']})"
        cells = (name, why, one["breaker"], str(one["n_in_flight"]), _number(one["expected_s"], " s"))
        table.add_row(*cells, _number(one["score"]), style="bold" if one["target"] == chosen else None)
    Console(soft_wrap=True).print(table)


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3g}{unit}"
