"""`/search` over a collection: the service, and others that search the same passages."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from rag.bench.corpus import read_questions, write_corpus
from rag.bench.load.plan import Request
from rag.bench.machine import version_of
from rag.bench.pace import Asking
from rag.bench.peers.haystack import HAYSTACK, haystack, haystack_request
from rag.bench.process import RAG, Server, free_port, run_command, started
from rag.index.factory import INDEX

OURS = "groundwire"
PEERS = ("threads", "sentence-transformers", HAYSTACK)
TOP_K = 5
PATIENT = {
    "RAG__LIMITS__DEGRADE_WAIT_S": "600",
    "RAG__LIMITS__MAX_WAIT_S": "600",
    "RAG__LIMITS__MAX_IN_FLIGHT": "100000",
    "RAG__LIMITS__REQUEST_TIMEOUT_S": "600",
}
"""Settings under which everyone is answered in full, however late: one that refuses or does less is not comparable."""


class Setup(Struct, frozen=True, kw_only=True):
    """What is searched and how. `index` is a data folder with the collection in it.

    `embedder` and `reranker` are the folders of the originals, for the peers that run those.
    """

    collection: Path
    index: Path
    rerank: bool
    embedder: str = ""
    reranker: str = ""

    @property
    def environ(self) -> dict[str, str]:
        """The settings. No pair of question and passage is remembered: no repeat is cheaper."""
        kind = {"RAG__RERANKER__KIND": "onnx", "RAG__RERANKER__REMEMBERED_PAIRS": "0"}
        return {"RAG_CONFIG": os.devnull, **(kind if self.rerank else {})}


async def prepare(collection: Path, n_filler: int, index: Path) -> None:
    """Indexes the collection into a data folder unless that was done before. Raises Unavailable when it fails."""
    if INDEX in await asyncio.to_thread(_names, index):
        return
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        corpus = Path(folder, "corpus.jsonl")
        write_corpus(collection, n_filler, corpus)
        command = (*RAG, "--data-dir", str(index), "ingest", str(corpus))
        await run_command(*command, environ={"RAG_CONFIG": os.devnull})


@asynccontextmanager
async def serving(setup: Setup, peers: Sequence[str]) -> AsyncIterator[list[Server]]:
    """The service first, then the peers, all ready. Raises ConfigError for a peer that is not installed."""
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(service(setup.index, {**setup.environ, **PATIENT}))]
        for peer in peers:
            opened = haystack(setup.collection, setup.embedder) if peer == HAYSTACK else _unbatched(setup, peer)
            running.append(await stack.enter_async_context(opened))
        yield running


@asynccontextmanager
async def service(data_dir: Path, environ: dict[str, str]) -> AsyncIterator[Server]:
    """`rag serve` on a data folder."""
    port = free_port()
    command = (*RAG, "--data-dir", str(data_dir), "serve", "--port", str(port))
    async with started(OURS, command, port, ready="/readyz", environ=environ) as server:
        yield server


def searching(setup: Setup) -> Callable[[Server], Asking]:
    """The questions of the collection, in each server's words. A reply that was degraded is not a good one."""
    questions = read_questions(setup.collection)
    ours = Asking(requests=search_requests(questions, rerank=setup.rerank), contains='"degraded":[]')
    theirs = Asking(requests=tuple(haystack_request(question, TOP_K) for question in questions))
    return lambda server: theirs if server.name == HAYSTACK else ours


def search_requests(questions: Sequence[str], *, rerank: bool) -> tuple[Request, ...]:
    """One for each question."""
    bodies = [{"query": question, "top_k": TOP_K, "rerank": rerank} for question in questions]
    return tuple(Request(path="/search", body=msgspec.json.encode(body).decode()) for body in bodies)


@asynccontextmanager
async def _unbatched(setup: Setup, peer: str) -> AsyncIterator[Server]:
    """A peer of our build, on a copy of the index: one process at a time may hold it."""
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        copy = Path(folder, "data")
        shutil.copytree(setup.index, copy, ignore=shutil.ignore_patterns("server.json", "*.lock"))
        port = free_port()
        originals = [*_option("--embedder", setup.embedder), *_option("--reranker", setup.reranker)]
        command = (*RAG, "--data-dir", str(copy), "bench", "peer", peer, "--port", str(port), *originals)
        told = version_of("sentence-transformers") if peer == "sentence-transformers" else ""
        environ = {**setup.environ, **PATIENT}
        async with started(peer, command, port, ready="/readyz", environ=environ, version=told) as server:
            yield server


def _names(folder: Path) -> set[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return {entry.name for entry in folder.iterdir()}


def _option(name: str, value: str) -> list[str]:
    return [name, value] if value else []
