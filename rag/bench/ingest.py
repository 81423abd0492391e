"""How fast a collection is indexed: `rag ingest` from its start to its end, into a folder of its own each time.

By turns with it the embedder alone, in this process and already loaded, embeds the same passages: nothing that parses,
cuts, compares or stores can be faster.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct
from tokenizers import Tokenizer

from ingest.chunk import chunk
from ingest.config import IngestConfig
from ingest.draft import Draft, document_of
from ingest.embed import passage_text
from rag.base.errors import Unavailable
from rag.bench.compare import interval
from rag.bench.corpus import Entry, filler, read_entries
from rag.bench.machine import Machine, this_machine
from rag.bench.models import BATCH, Job, contending, through
from rag.bench.process import RAG


class Indexed(Struct, frozen=True, kw_only=True):
    """One run; `cpu_s` is the processor time of the command and its workers."""

    wall_s: float
    cpu_s: float
    added: int
    chunks: int


class IngestReport(Struct, frozen=True, kw_only=True):
    """All runs, and the medians; `of_bare` is chunks/s over those of the embedder alone, with its 95 % interval."""

    date: str
    machine: Machine
    runs: tuple[Indexed, ...]
    documents_per_s: float
    chunks_per_s: float
    cpu_ms_per_chunk: float
    bare_chunks_per_s: float
    of_bare: tuple[float, float, float]


class _Summary(Struct):
    added: int
    chunks: int


async def measure(
    collections: Sequence[Path], n_filler: int, repeats: int, told: Callable[[Indexed], None]
) -> IngestReport:
    """Indexes the collections, all in one run, `repeats` times. Raises ConfigError, and Unavailable when that fails."""
    runs: list[Indexed] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        corpus = Path(folder, "corpus.jsonl")
        write_collections(collections, n_filler, corpus)
        async with contending("embed", fp32="", original="") as ((embedder,), counter):
            passages = passages_of(corpus, counter)
            await embedder.run(passages[0])
            for number in range(repeats):
                runs.append(await _indexed(corpus, Path(folder, f"{number}")))
                wall_s, _ = await through(embedder, passages)
                bare.append(sum(len(texts) for _, texts in passages) / wall_s)
                told(runs[-1])
    rates = [run.chunks / run.wall_s for run in runs]
    return IngestReport(
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        machine=this_machine(),
        runs=tuple(runs),
        documents_per_s=median(run.added / run.wall_s for run in runs),
        chunks_per_s=median(rates),
        cpu_ms_per_chunk=median(1000 * run.cpu_s / run.chunks for run in runs),
        bare_chunks_per_s=median(bare),
        of_bare=interval(rates, bare),
    )


def write_collections(folders: Sequence[Path], n_filler: int, output: Path) -> None:
    """The collections and so much filler as one file; the ids of one collection may be those of another."""
    entries: list[Entry] = []
    for number, folder in enumerate(folders):
        for uri, title, text in map(msgspec.structs.astuple, read_entries(folder)):
            entries.append(Entry(f"{number}/{uri}", title, text))
    with output.open("wb") as file:
        for entry in [*entries, *filler(entries, n_filler)]:
            file.write(msgspec.json.encode(entry) + b"\n")


def passages_of(corpus: Path, counter: Tokenizer) -> list[Job]:
    """What `rag ingest` has embedded of the file with its defaults, by the batch."""
    config = IngestConfig()
    entries = [msgspec.json.decode(line, type=Entry) for line in corpus.read_bytes().splitlines()]
    drafts = [Draft(uri=uri, title=title, text=text) for uri, title, text in map(msgspec.structs.astuple, entries)]
    documents = [document_of(draft, "bench", "") for draft in drafts]
    texts = [passage_text(each, part, config) for each in documents for part in chunk(each, counter, config)]
    return [("", texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]


async def _indexed(corpus: Path, data_dir: Path) -> Indexed:
    before, began_s = os.times(), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *RAG,
        "--data-dir",
        str(data_dir),
        "ingest",
        str(corpus),
        "--json",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "RAG_CONFIG": os.devnull},
    )
    said, _ = await process.communicate()
    wall_s, after = time.perf_counter() - began_s, os.times()
    if process.returncode:
        raise Unavailable(f"`rag ingest` ended with {process.returncode}")
    summary = msgspec.json.decode(said, type=_Summary)
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Indexed(wall_s=wall_s, cpu_s=cpu_s, added=summary.added, chunks=summary.chunks)
