"""`rag cache`."""

import json
from typing import Any

import click

from rag.cli import options
from rag.cli.cache_warm import warm
from rag.cli.main import run
from rag.cli.terminal import json_text, one_line


@click.group("cache")
def command() -> None:
    """Report on, explain, fill and clear the answer cache."""


command.add_command(warm)


@command.command("report")
@options.as_json
@click.pass_context
def report(ctx: click.Context, as_json: bool) -> None:
    """Print hits, rejections, savings, and how many hits were wrong of those that were checked."""
    run(_report(ctx, as_json=as_json))


@command.command("stats")
@options.as_json
@click.pass_context
def stats(ctx: click.Context, as_json: bool) -> None:
    """Print how many answers are kept, and how much memory they take."""
    run(_stats(ctx, as_json=as_json))


@command.command("explain")
@click.argument("question", callback=options.not_blank)
@options.as_json
@click.pass_context
def explain(ctx: click.Context, question: str, as_json: bool) -> None:
    """Print the kept questions that are nearest, and what keeps each from being served."""
    run(_explain(ctx, question, as_json=as_json))


@command.command("clear")
@options.as_json
@click.pass_context
def clear(ctx: click.Context, as_json: bool) -> None:
    """Forget every kept answer of the key's tenant."""
    run(_clear(ctx, as_json=as_json))


async def _asked(ctx: click.Context, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    from rag.cli.connection import asked, connected

    async with connected(options.settings_of(ctx)) as client:
        return await asked(client, method, path, **({} if body is None else {"json": body}))


async def _report(ctx: click.Context, *, as_json: bool) -> int:
    found = await _asked(ctx, "GET", "/cache")
    if as_json:
        click.echo(json.dumps(found))
        return 0
    hits, rate = found["hits"], found["hit_rate"]
    share = "" if rate is None else f" ({rate:.1%})"
    click.echo(f"lookups   {found['lookups']}: {hits['exact']} exact and {hits['semantic']} semantic hits{share}")
    for reason, n in found["rejected_by"].items():
        click.echo(f"rejected  {n} by {reason}")
    for match, seen in found["estimates"].items():
        told = f"{seen['n_wrong']} wrong of {seen['n']} compared; with 95 % confidence below {seen['upper']:.2%}"
        click.echo(f"{match:<9} {told if seen['n'] else 'none compared yet'}")
    floor = found["loose_floor"]
    click.echo(f"loose     {'none is served yet' if floor is None else f'served from similarity {floor:.3f} on'}")
    click.echo(f"saved     {found['saved_s']:.1f} s, ${found['saved_usd']:.2f}")
    replies = found["replies"]
    if replies["lookups"] or replies["bypassed"]:
        looked_up = f"{replies['hits']} of {replies['lookups']} from memory, {replies['bypassed']} not looked up"
        click.echo(f"replies   {looked_up}; saved {replies['saved_s']:.1f} s, ${replies['saved_usd']:.2f}")
    return 0


async def _stats(ctx: click.Context, *, as_json: bool) -> int:
    found = await _asked(ctx, "GET", "/cache")
    if as_json:
        click.echo(json.dumps({name: found[name] for name in ("entries", "bytes", "max_bytes")}))
    else:
        click.echo(f"{found['entries']} answers, {found['bytes'] / 2**20:.1f} of {found['max_bytes'] / 2**20:.1f} MiB")
    return 0


async def _explain(ctx: click.Context, question: str, *, as_json: bool) -> int:
    found = await _asked(ctx, "POST", "/cache/explain", {"question": question})
    if as_json:
        click.echo(json_text(found))
        return 0
    if found["exact"] is None and not found["nearest"]:
        click.echo("nothing near is kept")
    for near in ([found["exact"]] if found["exact"] else []) + found["nearest"]:
        likeness = "same " if near["similarity"] is None else f"{near['similarity']:.3f}"
        fate = f"rejected by {near['rejected_by']}" if near["rejected_by"] else "would be served"
        click.echo(f"{likeness}  {fate:<24}  {one_line(near['question'])}")
    return 0


async def _clear(ctx: click.Context, *, as_json: bool) -> int:
    found = await _asked(ctx, "DELETE", "/cache")
    click.echo(json.dumps(found) if as_json else f"forgot {found['n_forgotten']} answers")
    return 0
