"""`rag ask`."""

from typing import Any

import click

from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import json_text, one_line, visible


@click.command("ask")
@click.argument("question", callback=options.not_blank)
@click.option("--top-k", type=click.IntRange(1, 50), default=5, show_default=True, help="Passages to read at most.")
@click.option("--model", help="A model of the settings' [models].")
@click.option("--prompt", help="A prompt that the settings allow to be chosen, such as answer@staging.")
@click.option("--explain", is_flag=True, help="Show every passage that was considered, with its scores.")
@options.common
def command(
    ctx: click.Context,
    question: str,
    top_k: int,
    model: str | None,
    prompt: str | None,
    explain: bool,
    filters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ask a question and print the answer with its citations."""
    body = {"question": question, "top_k": top_k, "filters": options.parsed_filters(filters), "explain": explain}
    chosen = {name: value for name, value in (("model", model), ("prompt", prompt)) if value}
    run(_ask(ctx, body | chosen, as_json=as_json))


async def _ask(ctx: click.Context, body: dict[str, Any], *, as_json: bool) -> int:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        answer = await asked(client, "POST", "/ask", json=body)
    if as_json:
        click.echo(json_text(answer))
    else:
        _print(answer)
    return 0


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    console.print(Text(visible(answer["answer"])))
    if answer["citations"]:
        console.print()
    for citation in answer["citations"]:
        mark = "" if citation["verified"] else " (closest passage)"
        page = f" page {citation['page']}," if citation["page"] is not None else ""
        place = f"{one_line(citation['uri'])}{page} characters {citation['start']}-{citation['stop']}{mark}"
        console.print(
            Text.assemble((f"[{citation['marker']}] ", "bold"), (one_line(citation["title"]), "cyan"), f"  {place}")
        )
    if answer["degraded"]:
        console.print(Text(f"degraded: {', '.join(answer['degraded'])}", "yellow"))
    for candidate in answer.get("candidates", ()):
        legs = "  ".join(f"{leg['origin']} {leg['score']:.3f} (#{leg['rank']})" for leg in candidate["legs"])
        console.print(Text.assemble((f"{one_line(candidate['title'])}: ", "cyan"), (legs, "dim")))
    spent = "  ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in answer["stages_s"].items())
    console.print(Text(f"{answer['lineage']['model']}  {spent}", "dim"))
