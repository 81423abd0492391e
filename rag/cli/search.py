"""`rag search`."""

from typing import Any

import click

from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import json_text, one_line


@click.command("search")
@click.argument("query", callback=options.not_blank)
@click.option("--top-k", type=click.IntRange(1, 50), default=10, show_default=True)
@click.option("--rerank/--no-rerank", default=True, show_default=True)
@options.common
def command(ctx: click.Context, query: str, top_k: int, rerank: bool, filters: tuple[str, ...], as_json: bool) -> None:
    """Print the passages that match best."""
    body = {"query": query, "top_k": top_k, "rerank": rerank, "filters": options.parsed_filters(filters)}
    run(_search(ctx, body, as_json=as_json))


async def _search(ctx: click.Context, body: dict[str, Any], *, as_json: bool) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        found = await asked(client, "POST", "/search", json=body)
    if as_json:
        click.echo(json_text(found))
    else:
        _print(found)
    return 0


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for place, result in enumerate(found["results"], start=1):
        title = one_line(" > ".join((result["title"], *result["headings"])))
        score = f"{result['origin']} {result['score']:.3f}"
        console.print(
            Text.assemble((f"{place}. ", "bold"), (title, "cyan"), f"  {score}  ", (one_line(result["uri"]), "dim"))
        )
        console.print(Text(one_line(result["text"])[:300]))
    if not found["results"]:
        console.print("nothing found")
