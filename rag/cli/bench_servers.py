"""`rag bench search`, `ask`, `cache` and `gateway`: servers under load, side by side."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.cli.main import run

if TYPE_CHECKING:
    from rag.bench.ask import Setup as AskSetup
    from rag.bench.pace import Pace
    from rag.bench.report import Report
    from rag.bench.search import Setup as SearchSetup
    from rag.bench.upstream.script import Script

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all benchmarks of servers ask."""
    for option in reversed(
        (
            click.option(
                "--clients", default="1,8,32", show_default=True, help="Levels of load: clients with one request each."
            ),
            click.option("--seconds", type=click.FloatRange(0.1), default=6.0, show_default=True, help="Of each run."),
            click.option(
                "--warm-up", type=click.FloatRange(0), default=1.5, show_default=True, help="Seconds before each run."
            ),
            click.option(
                "--repeats", type=click.IntRange(1), default=4, show_default=True, help="Runs of each, interleaved."
            ),
            click.option("--json", "json_file", type=_FILE, help="Write everything that was measured here."),
            click.option("--svg", "svg_file", type=_FILE, help="Write a chart here."),
        )
    ):
        function = option(function)
    return function


def over(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all benchmarks over a collection ask."""
    index = click.option(
        "--index", type=click.Path(path_type=Path, file_okay=False), help="Index into this folder and keep it."
    )
    return click.argument("folder", type=_FOLDER)(index(function))


filled = click.option(
    "--passages", type=click.IntRange(0), default=0, show_default=True, help="Passages of filler to add."
)


@click.command("search")
@over
@filled
@click.option("--rerank", is_flag=True, help="With the cross-encoder.")
@click.option("--peer", "peers", multiple=True, help="Another beside it: threads, sentence-transformers, haystack.")
@click.option("--embedder", default="", help="For peers: the folder of the original embedder.")
@click.option("--reranker", default="", help="For peers: the folder of the original cross-encoder.")
@_measuring
def search(rerank: bool, peers: Sequence[str], embedder: str, reranker: str, **given: Any) -> None:
    """Measure /search over the BEIR collection in FOLDER."""
    from rag.bench.search import PEERS, Setup

    _known(peers, PEERS)
    with index_folder(given["index"]) as index:
        collection = given["folder"].resolve()
        setup = Setup(collection=collection, index=index, rerank=rerank, embedder=embedder, reranker=reranker)
        run(_search(setup, peers, given))


async def _search(setup: "SearchSetup", peers: Sequence[str], given: dict[str, Any]) -> int:
    from rag.bench.pace import closed_loops
    from rag.bench.search import prepare, searching, serving

    pace = _pace(given)
    await prepare(setup.collection, given["passages"], setup.index)
    async with serving(setup, peers) as servers:
        title = f"/search, {'hybrid and reranked' if setup.rerank else 'hybrid'}"
        return _told(await _compared(title, servers, closed_loops(pace, searching(setup)), pace), given)


@click.command("ask")
@over
@filled
@click.option("--stream", is_flag=True, help="Ask for streams.")
@click.option("--first-token", type=click.FloatRange(0), default=0.0, help="Seconds until the model's first token.")
@click.option("--tokens-per-s", type=click.FloatRange(0), default=0.0, help="Of the model [default: all at once].")
@click.option("--peer", "peers", multiple=True, help="Another beside it: stubbed.")
@_measuring
def ask(stream: bool, first_token: float, tokens_per_s: float, peers: Sequence[str], **given: Any) -> None:
    """Measure /ask over the BEIR collection in FOLDER, with a simulated provider behind it."""
    from rag.bench.ask import PEERS, Setup

    _known(peers, PEERS)
    with index_folder(given["index"]) as index:
        collection = given["folder"].resolve()
        pacing = {"first_token_s": first_token, "tokens_per_s": tokens_per_s}
        run(_ask(Setup(collection=collection, index=index, stream=stream, **pacing), peers, given))


async def _ask(setup: "AskSetup", peers: Sequence[str], given: dict[str, Any]) -> int:
    from rag.bench.ask import asking, serving
    from rag.bench.pace import closed_loops
    from rag.bench.search import prepare

    pace = _pace(given)
    await prepare(setup.collection, given["passages"], setup.index)
    async with serving(setup, peers) as servers:
        title = f"/ask, {'streamed' if setup.stream else 'whole'}"
        return _told(await _compared(title, servers, closed_loops(pace, asking(setup)), pace), given)


@click.command("cache")
@over
@filled
@_measuring
def cache(**given: Any) -> None:
    """Measure /ask over the BEIR collection in FOLDER when answers come from memory, and when they do not."""
    from rag.bench.ask import Setup

    with index_folder(given["index"]) as index:
        run(_cache(Setup(collection=given["folder"].resolve(), index=index, stream=False), given))


async def _cache(setup: "AskSetup", given: dict[str, Any]) -> int:
    from rag.bench.cache import asking, fill, serving
    from rag.bench.pace import closed_loops
    from rag.bench.search import prepare

    pace = _pace(given)
    await prepare(setup.collection, given["passages"], setup.index)
    async with serving(setup) as servers:
        await fill(servers[0], setup)
        loads = closed_loops(pace, asking(setup))
        return _told(await _compared("/ask, from memory and computed", servers, loads, pace), given)


@click.command("recall")
@over
@filled
@click.option("--questions", type=click.IntRange(10), default=500, show_default=True, help="Of the collection.")
@click.option("--kept", type=click.IntRange(0), default=5_000, show_default=True, help="Other questions in memory.")
def recall(questions: int, kept: int, **given: Any) -> None:
    """Measure the answer cache in this process over the BEIR collection in FOLDER: hits, and misses beside no cache."""
    with index_folder(given["index"]) as index:
        run(_recall(given["folder"].resolve(), index, given["passages"], questions, kept))


async def _recall(collection: Path, index: Path, passages: int, n_questions: int, n_kept: int) -> int:
    from rag.bench.corpus import read_questions
    from rag.bench.machine import this_machine
    from rag.bench.recall import findings, measure
    from rag.bench.search import prepare
    from rag.compose import open_services
    from rag.govern.keys import KeyRing
    from rag.settings import Settings

    await prepare(collection, passages, index)
    async with open_services(Settings(data_dir=index), KeyRing()) as services:
        times = await measure(services.searcher, read_questions(collection)[:n_questions], n_kept)
    found = findings(times)
    for finding in found:
        click.echo(f"{'holds ' if finding.holds else 'FAILS '} {finding.claim}: {finding.figure}")
    machine = this_machine()
    click.echo(f"{machine.cores} cores of {machine.cpu}, load {machine.load}")
    return 0 if all(finding.holds for finding in found) else 1


@click.command("gateway")
@click.option("--stream", is_flag=True, help="Ask for streams.")
@click.option("--tokens", type=click.IntRange(0), default=16, show_default=True, help="Of each answer.")
@click.option("--tokens-per-s", type=click.FloatRange(0), default=0.0, help="Of each stream [default: all at once].")
@click.option("--peer", "peers", multiple=True, help="Another beside it: litellm, portkey.")
@_measuring
def gateway(stream: bool, tokens: int, tokens_per_s: float, peers: Sequence[str], **given: Any) -> None:
    """Measure /v1/chat/completions in front of a simulated provider, with keys, rates, a budget and metrics on."""
    from rag.bench.upstream.script import Script

    run(_gateway(stream, Script(n_tokens=tokens, tokens_per_s=tokens_per_s), peers, given))


async def _gateway(stream: bool, script: "Script", peers: Sequence[str], given: dict[str, Any]) -> int:
    from msgspec.structs import replace

    from rag.bench.gateway import PEERS, PROVIDER, Setup, added, serving
    from rag.bench.pace import closed_loops

    _known(peers, PEERS)
    pace = _pace(given)
    async with serving(Setup(stream=stream, script=script), [PROVIDER, *peers]) as (servers, asking):
        title = f"/v1/chat/completions, {script.n_tokens} tokens, {'streamed' if stream else 'whole'}"
        report = await _compared(title, servers, closed_loops(pace, asking), pace)
    between = tuple(ratio for ratio in report.ratios if ratio.other != PROVIDER)
    return _told(replace(report, ratios=between, notes=(*report.notes, *added(report.rows))), given)


def _pace(given: dict[str, Any]) -> "Pace":
    from rag.bench.pace import Pace

    try:
        clients = tuple(int(level) for level in given["clients"].split(","))
    except ValueError:
        clients = (0,)
    if min(clients) < 1:
        raise click.BadParameter("takes numbers separated by commas", param_hint="--clients")
    return Pace(clients=clients, seconds=given["seconds"], warm_up_s=given["warm_up"], repeats=given["repeats"])


@contextmanager
def index_folder(kept: Path | None) -> Iterator[Path]:
    """The folder of the index: the one to keep, or one that goes with this command."""
    from tempfile import TemporaryDirectory

    if kept:
        yield kept.resolve()
        return
    with TemporaryDirectory(prefix="groundwire-bench-") as passing:
        yield Path(passing)


def _known(peers: Sequence[str], known: Sequence[str]) -> None:
    strange = sorted(set(peers) - set(known))
    if strange:
        raise click.BadParameter(f"no peer '{strange[0]}' here, only {', '.join(known)}", param_hint="--peer")


async def _compared(title: str, servers: Any, loads: Any, pace: "Pace") -> "Report":
    from rich.progress import Progress

    from rag.bench.compare import compare
    from rag.bench.report import report_of

    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=pace.repeats * len(loads) * len(servers))
        runs = await compare(servers, loads, pace.repeats, lambda _: progress.advance(task))
    return report_of(title, runs, notes=[f"{server.name}: {server.version}" for server in servers if server.version])


def _told(report: "Report", given: dict[str, Any]) -> int:
    from rag.bench.report import show, write

    show(report)
    write(report, given["json_file"], given["svg_file"])
    return 1 if report.n_void else 0
