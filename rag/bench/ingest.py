"""How fast a collection is indexed: `rag ingest` from its start to its end, into a folder of its own each time."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from rag.base.errors import Unavailable
from rag.bench.corpus import write_corpus
from rag.bench.machine import Machine, this_machine
from rag.bench.process import RAG


class Indexed(Struct, frozen=True, kw_only=True):
    """One run; `cpu_s` is the processor time of the command and its workers."""

    wall_s: float
    cpu_s: float
    added: int
    chunks: int


class IngestReport(Struct, frozen=True, kw_only=True):
    """All runs, and the medians."""

    date: str
    machine: Machine
    runs: tuple[Indexed, ...]
    documents_per_s: float
    chunks_per_s: float
    cpu_ms_per_chunk: float


class _Summary(Struct):
    added: int
    chunks: int


async def measure(collection: Path, n_filler: int, repeats: int, told: Callable[[Indexed], None]) -> IngestReport:
    """Indexes the collection `repeats` times. Raises Unavailable when that fails."""
    runs: list[Indexed] = []
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        corpus = Path(folder, "corpus.jsonl")
        write_corpus(collection, n_filler, corpus)
        for number in range(repeats):
            runs.append(await _indexed(corpus, Path(folder, f"{number}")))
            told(runs[-1])
    return IngestReport(
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        machine=this_machine(),
        runs=tuple(runs),
        documents_per_s=median(run.added / run.wall_s for run in runs),
        chunks_per_s=median(run.chunks / run.wall_s for run in runs),
        cpu_ms_per_chunk=median(1000 * run.cpu_s / run.chunks for run in runs),
    )


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
