"""`rag bench drill`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import msgspec

from rag.cli.main import run

if TYPE_CHECKING:
    from rag.bench.drill import Told

HARMS = ("killed", "slowed", "limited", "reloaded")


@click.command("drill")
@click.argument("harms", nargs=-1, type=click.Choice(HARMS), metavar="[HARM]...")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write what came of it here."
)
def drill(harms: tuple[str, ...], json_file: Path | None) -> None:
    """Kill, slow down or limit one of three providers under load, or exchange models 100 times; see what users see."""
    run(_drill(harms or HARMS, json_file))


async def _drill(harms: tuple[str, ...], json_file: Path | None) -> int:
    from rag.bench.drill import Harm, drill

    told = [await drill(harm) for harm in get_args(Harm) if harm in harms]
    for one in told:
        _print(one)
    if json_file:
        await asyncio.to_thread(json_file.write_bytes, msgspec.json.format(msgspec.json.encode(told), indent=2))
    return 0 if all(one.passed for one in told) else 1


def _print(told: "Told") -> None:
    verdict = "passed" if told.passed else "FAILED"
    seen = f"{told.n_answered} answered, {told.n_failed} failed before a word, {told.n_failed_late} after"
    click.echo(f"{told.harm}: {verdict}; {seen}")
    if told.shares is not None:
        before, out, back = told.shares
        click.echo(f"  its share: {before:.1%} before, {out:.1%} from 3 s on, {back:.1%} from 15 s after it was well")
    else:
        click.echo(f"  {told.n_reloads} reloads, by signal and over HTTP")
    for error in told.errors:
        click.echo(f"  {error}", err=True)
