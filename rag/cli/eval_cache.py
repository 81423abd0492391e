"""`rag eval cache` and `rag eval wordings`."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from rag.cli import options
from rag.cli.main import run
from rag.cli.terminal import echo_scores
from rag.govern.limits import patient
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.base.ports import Vectors
    from rag.evals.cache_curves import Curve
    from rag.evals.cache_run import Gold, Wording


@click.command("cache")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Index into this folder and keep it.")
@click.option("--paraphrases", type=click.IntRange(0, 10), default=1, show_default=True, help="For each question.")
@click.option("--seed", type=int, default=0, show_default=True, help="The order, and which paraphrases.")
@options.as_json
@click.pass_context
def cache(
    ctx: click.Context, folder: Path, limit: int | None, keep: Path | None, paraphrases: int, seed: int, as_json: bool
) -> None:
    """Index FOLDER, ask all of its questions and paraphrases in random order, and count the wrong hits.

    Most of the time goes into the index, which is only made once with --keep; answers are not kept there.
    """
    from rag.evals.cache_run import read_gold, wordings_of

    questions = read_gold(folder)[:limit]
    asked = wordings_of(questions, paraphrases, seed)
    run(_cache(_forgetful(options.settings_of(ctx)), folder, keep, questions, asked, as_json=as_json))


@click.command("wordings")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw the curves into this file.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generated pairs.")
@options.as_json
@click.pass_context
def wordings(ctx: click.Context, folder: Path, svg: Path | None, seed: int, as_json: bool) -> None:
    """Hold the cache's gates against labelled pairs (qqp, mediqa-rqe, banking77 in FOLDER) and generated ones."""
    run(_wordings(options.settings_of(ctx), folder, svg, seed, as_json=as_json))


def _forgetful(settings: Settings) -> Settings:
    """The settings with a cache that starts empty and leaves nothing behind, and with patience."""
    from cache.config import MemoryConfig

    kept = settings.cache
    passing = replace(kept, persist=False, redis_url=None) if isinstance(kept, MemoryConfig) else kept
    return replace(settings, cache=passing, limits=patient(settings.limits))


async def _cache(
    settings: Settings,
    folder: Path,
    keep: Path | None,
    questions: "Sequence[Gold]",
    asked: "Sequence[Wording]",
    *,
    as_json: bool,
) -> int:
    from tempfile import TemporaryDirectory

    from rich.progress import Progress

    from rag.compose import open_services
    from rag.evals.abstention import answer_of
    from rag.evals.cache_run import score_cache
    from rag.evals.collection import open_collection
    from rag.evals.retrieval import TENANT, drafts
    from rag.govern.keys import KeyRing

    with (
        TemporaryDirectory(prefix="groundwire-eval-") as passing,
        Progress(disable=as_json, transient=True) as progress,
    ):
        async with open_services(replace(settings, data_dir=keep or Path(passing)), KeyRing()) as services:
            indexing = progress.add_task("indexing", total=None)
            indexer = services.library.indexer
            await indexer.run(drafts(open_collection(folder)), TENANT, lambda _: progress.advance(indexing))
            asking = progress.add_task("asking", total=len(asked))
            ask = partial(answer_of, services.answerer, cache="use")
            scores = await score_cache(questions, asked, ask, lambda: progress.advance(asking))
    echo_scores(scores, as_json=as_json)
    return 0


async def _wordings(settings: Settings, folder: Path, svg: Path | None, seed: int, *, as_json: bool) -> int:
    from rag.base.deadline import Deadline
    from rag.base.types import Work
    from rag.evals import cache_curves, cache_pairs
    from rag.index.embedders.factory import open_embedder

    async with open_embedder(settings.embedder, settings.models_dir) as (embedder, _):

        async def embed(texts: "Sequence[str]") -> "Vectors":
            import numpy as np

            work = Work(tenant="eval", deadline=Deadline.after(3_600), lane="bulk")
            parts = [await embedder.embed(texts[at : at + 256], "query", work) for at in range(0, len(texts), 256)]
            return np.concatenate(parts)

        found = await cache_curves.curves(folder, embed)
    generated = cache_pairs.score_generated(seed)
    if svg:
        await asyncio.to_thread(svg.write_text, _drawn(found), encoding="utf-8")
    if as_json:
        click.echo(msgspec.json.encode({"curves": found, "generated": generated}))
        return 0
    for curve in found:
        gated, alone = curve.gated[0], curve.alone_at_same_hits
        click.echo(
            f"{curve.name}: {curve.lookups} lookups, {gated.hits} hits of which {gated.wrong} are labelled wrong"
        )
        click.echo(f"  the cosine alone at as many hits (from {alone.cut:.3f} on): {alone.wrong}")
        loose = curve.loose_at_cosine
        click.echo(f"  with other words too, from {loose.cut:.3f} on: {loose.hits} hits, {loose.wrong} labelled wrong")
        for point in curve.alone:
            click.echo(f"  the cosine alone from {point.cut:.3f} on: {point.hits} hits, {point.wrong} labelled wrong")
    echo_scores(generated, as_json=False)
    return 0


def _drawn(found: "Sequence[Curve]") -> str:
    from rag.bench.chart import Line, chart

    panels = []
    for curve in found:
        lines = []
        for number, (label, points) in enumerate(
            (
                ("cosine alone", curve.alone),
                ("with gates", curve.gated),
                ("with gates, other words too", curve.loose),
            )
        ):
            places = {
                100 * point.hits / curve.lookups: 100 * point.wrong / point.hits for point in points if point.hits
            }
            lines.append(Line(label=label, colour=number, dashes=number, points=tuple(sorted(places.items()))))
        panels.append((f"{curve.name}: wrong hits, % of hits", lines))
    about = "Labelled pairs of questions; cuts of the cosine from 0.80 to 0.99. Labels of qqp are noisy."
    return chart("Answer cache: wrong hits against hits", about, "hits, % of lookups", panels)
