"""`rag eval chunking`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rag.cli import options
from rag.cli.main import run
from rag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.evals.chunking import Scores, Setting

SIZES = ("64", "96", "128", "160", "200", "256", "200/40")


@click.command("chunking")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--chunks",
    "sizes",
    multiple=True,
    default=SIZES,
    show_default=True,
    metavar="TOKENS[/OVERLAP]",
    help="The most tokens of a chunk, and how many of them repeat the chunk before; repeatable.",
)
@options.as_json
@click.pass_context
def chunking(ctx: click.Context, folder: Path, sizes: tuple[str, ...], as_json: bool) -> None:
    """Measure which chunk sizes find the reference spans of the questions in FOLDER, and little besides.

    FOLDER holds Markdown and questions_df.csv: question, references with start_index and end_index, corpus_id.
    """
    run(_chunking(options.settings_of(ctx), folder, [_setting(size) for size in sizes], as_json=as_json))


def _setting(size: str) -> "Setting":
    from rag.evals.chunking import Setting

    tokens, _, overlap = size.partition("/")
    try:
        setting = Setting(tokens=int(tokens), overlap=int(overlap or 0))
    except ValueError as fault:
        raise click.BadParameter(f"takes TOKENS or TOKENS/OVERLAP, got '{size}'", param_hint="--chunks") from fault
    if setting.overlap < 0 or setting.tokens - setting.overlap < 16:
        raise click.BadParameter(f"leaves fewer than 16 tokens of a chunk: '{size}'", param_hint="--chunks")
    return setting


async def _chunking(settings: Settings, folder: Path, wanted: "Sequence[Setting]", *, as_json: bool) -> int:
    from rich.progress import Progress

    from rag.evals.chunking import read_asked, read_documents
    from rag.evals.chunking_run import ChunkingRun
    from rag.index.embedders.factory import open_embedder

    documents, asked = read_documents(folder), read_asked(folder)
    async with open_embedder(settings.embedder, settings.models_dir) as (embedder, tokenizer):
        measuring = ChunkingRun(documents, asked, embedder, tokenizer)
        with Progress(disable=as_json, transient=True) as progress:
            settled = progress.track(wanted, description="measuring")
            found = [await measuring.measure(each, settings.ingest, settings.fusion) for each in settled]
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(f"{len(documents)} documents, {len(asked)} questions", found)
    return 0


def _print(title: str, found: "Sequence[Scores]") -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("size", "chunks", "mean", "recall@5", "prec.@5", "recall in 1,000", "prec.")
    table = Table(*columns, title=title)
    for each in found:
        kept = (each.first_chunks.recall, each.first_chunks.precision, each.one_context.recall)
        table.add_row(
            f"{each.setting.tokens}/{each.setting.overlap}" if each.setting.overlap else str(each.setting.tokens),
            str(each.chunks),
            f"{each.mean_tokens:.0f}",
            *(f"{share:.1%}" for share in (*kept, each.one_context.precision)),
        )
    Console().print(table)
