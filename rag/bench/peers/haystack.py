"""Haystack served by hayhooks, as its documentation begins: documents in memory, dense retrieval, one embedding model.

It runs in an environment of its own, so what it is to run is a text of ours that is put into a folder for it.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from rag.base.errors import ConfigError
from rag.bench.load.plan import Request
from rag.bench.peers.installed import program, python_versions
from rag.bench.process import HOST, Server, free_port, started

HAYSTACK = "haystack"
_PIPELINE = "search"


@asynccontextmanager
async def haystack(collection: Path, embedder: str) -> AsyncIterator[Server]:
    """A server over the documents of the collection, without filler. Raises ConfigError when it is not installed.

    `collection` is an absolute path: it runs in a folder of its own.
    """
    if not embedder:
        raise ConfigError(f"the peer '{HAYSTACK}' needs --embedder: the folder of a sentence-transformers model")
    hayhooks = program("hayhooks", HAYSTACK, "pip install haystack-ai hayhooks sentence-transformers-haystack")
    with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
        _write_pipeline(Path(folder, _PIPELINE))
        port = free_port()
        environ = {
            "BENCH_CORPUS": str(collection / "corpus.jsonl"),
            "BENCH_EMBEDDER": embedder,
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "LOG": "ERROR",
        }
        command = (hayhooks, "run", "--host", HOST, "--port", str(port), "--pipelines-dir", folder)
        version = await python_versions(hayhooks, "haystack-ai", "hayhooks", "sentence-transformers")
        ready = f"/status/{_PIPELINE}"
        async with started(HAYSTACK, command, port, ready=ready, environ=environ, version=version) as server:
            yield server


def haystack_request(question: str, top_k: int) -> Request:
    """The request that its pipeline takes."""
    return Request(path=f"/{_PIPELINE}/run", body=msgspec.json.encode({"question": question, "top_k": top_k}).decode())


def _write_pipeline(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("haystack_pipeline.txt"), folder / "pipeline_wrapper.py")
