"""`rag bench`."""

import asyncio
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import uvloop

from rag.cli import options
from rag.cli.main import run

if TYPE_CHECKING:
    from rag.bench.pace import Pace
    from rag.bench.report import Report
    from rag.bench.upstream.script import Script


@click.group("bench")
def command() -> None:
    """Measure speed, and stand in for providers."""


def _measuring(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all benchmarks ask."""
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


_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@command.command("search")
@click.argument("folder", type=_FOLDER)
@click.option("--index", type=click.Path(path_type=Path, file_okay=False), help="Index into this folder and keep it.")
@click.option("--passages", type=click.IntRange(0), default=0, show_default=True, help="Passages of filler to add.")
@click.option("--rerank", is_flag=True, help="With the cross-encoder.")
@click.option(
    "--peer", "peers", multiple=True, help="Another to measure beside it: threads, sentence-transformers, haystack."
)
@click.option("--embedder", default="", help="For peers: the folder of the original embedder.")
@click.option("--reranker", default="", help="For peers: the folder of the original cross-encoder.")
@_measuring
def search(folder: Path, index: Path | None, passages: int, peers: Sequence[str], **given: Any) -> None:
    """Measure /search over the BEIR collection in FOLDER."""
    run(_search(folder.resolve(), index, passages, peers, given))


async def _search(folder: Path, index: Path | None, passages: int, peers: Sequence[str], given: dict[str, Any]) -> int:
    from contextlib import nullcontext
    from tempfile import TemporaryDirectory

    from rag.bench.pace import closed_loops
    from rag.bench.search import PEERS, Setup, prepare, searching, serving

    _known(peers, PEERS)
    pace = _pace(given)
    with nullcontext(str(index)) if index else TemporaryDirectory(prefix="groundwire-bench-") as place:
        setup = Setup(
            collection=folder,
            index=Path(place),
            n_filler=passages,
            rerank=given["rerank"],
            embedder=given["embedder"],
            reranker=given["reranker"],
        )
        await prepare(setup)
        async with serving(setup, peers) as servers:
            title = f"/search, {'hybrid and reranked' if setup.rerank else 'hybrid'}"
            return _told(await _compared(title, servers, closed_loops(pace, searching(setup)), pace), given)


@command.command("gateway")
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
    return _told(replace(report, ratios=between, notes=tuple(added(report.rows))), given)


@command.command("load")
@click.argument("plan", type=click.File("rb"))
def load(plan: Any) -> None:
    """Put the load of PLAN, a JSON file, on a server and print what came of it as JSON."""
    run(_load(plan.read()), loop=uvloop.new_event_loop)


async def _load(data: bytes) -> int:
    from rag.bench.load.generate import generate
    from rag.bench.load.plan import read_plan

    click.echo(msgspec.json.encode(await generate(read_plan(data))))
    return 0


@command.command("peer")
@click.argument("name", type=click.Choice(["threads", "sentence-transformers"]))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on [default: a free one].")
@click.option("--embedder", default="", help="The folder of the original embedder.")
@click.option("--reranker", default="", help="The folder of the original cross-encoder.")
@click.pass_context
def peer(ctx: click.Context, name: str, port: int, embedder: str, reranker: str) -> None:
    """Serve /search with models that are called for each request by itself, from threads."""
    from rag.bench.peers.unbatched import onnx_models, torch_models
    from rag.serve.server import bind

    settings = options.settings_of(ctx)
    models = onnx_models(settings) if name == "threads" else torch_models(settings, embedder, reranker)
    bound = bind("127.0.0.1", port)
    click.echo(f"{name} listens on http://127.0.0.1:{bound.getsockname()[1]}", err=True)
    run(_peer(settings, models, bound), loop=uvloop.new_event_loop)


async def _peer(settings: Any, models: Any, bound: Any) -> int:
    from rag.bench.peers.unbatched import open_unbatched
    from rag.serve.server import serve

    await serve(open_unbatched(settings, models), bound, version=version("groundwire"))
    return 0


@command.command("upstream")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on [default: a free one].")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Scripts in JSON, by model and by key [default: answer everything at once].",
)
def upstream(host: str, port: int, script: Path | None) -> None:
    """Be OpenAI, Azure, Anthropic, Gemini and Bedrock until Ctrl-C, by the delays and faults of a script."""
    run(_upstream(host, port, script), loop=uvloop.new_event_loop)


async def _upstream(host: str, port: int, script: Path | None) -> int:
    from rag.bench.upstream.script import Prompter, read_book
    from rag.bench.upstream.server import Upstream

    book = read_book(await asyncio.to_thread(script.read_bytes)) if script else None
    server = await Upstream(Prompter(book)).listen(host, port)
    async with server:
        click.echo(f"a simulated provider listens on http://{host}:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()
    return 0


def _pace(given: dict[str, Any]) -> "Pace":
    from rag.bench.pace import Pace

    try:
        clients = tuple(int(level) for level in given["clients"].split(","))
    except ValueError:
        clients = (0,)
    if min(clients) < 1:
        raise click.BadParameter("takes numbers separated by commas", param_hint="--clients")
    return Pace(clients=clients, seconds=given["seconds"], warm_up_s=given["warm_up"], repeats=given["repeats"])


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
    return report_of(title, runs)


def _told(report: "Report", given: dict[str, Any]) -> int:
    from rag.bench.report import show, write

    show(report)
    write(report, given["json_file"], given["svg_file"])
    return 1 if report.n_void else 0
