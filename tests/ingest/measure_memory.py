"""`python -m tests.ingest.measure_memory FILE...`: the most memory that reading, chunking and planning the files takes.

Nothing is kept and vectors are hashes, so what is measured is ingestion itself. `make:200` as a file stands for a JSON
Lines file of that many MB, made for the purpose.
"""

import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from ingest.config import IngestConfig
from ingest.parse.pool import ParserPool
from ingest.pipeline import Indexer
from ingest.read import SourceReader
from ingest.sources import find
from rag.base.ports import IndexedDocument
from rag.settings import Settings
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import stream


class ForgetfulStore(MemoryStore):
    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        pass


def made(folder: Path, n_megabytes: int) -> Path:
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(5000)]
    file = folder / "made.jsonl"
    with file.open("w", encoding="utf-8") as out:
        at = 0
        while out.tell() < n_megabytes * 10**6:
            text = " ".join(rng.choices(vocabulary, k=rng.choice((50, 500, 5000))))
            out.write(json.dumps({"id": at, "text": text}) + "\n")
            at += 1
    return file


async def main(names: Sequence[str]) -> None:
    from rag.index.embedders.factory import open_embedder

    settings = Settings()
    async with open_embedder(settings.embedder, settings.models_dir) as (_, tokenizer):
        pass
    with tempfile.TemporaryDirectory() as folder:
        files = [made(Path(folder), int(name[5:])) if name.startswith("make:") else Path(name) for name in names]
        config = IngestConfig()
        indexer = Indexer(HashingEmbedder(), ForgetfulStore(), tokenizer, config)
        started_s = time.process_time()
        async with ParserPool(config) as pool:
            found = find([str(file) for file in files], BytesIO())
            report = await indexer.run(SourceReader(pool, config).read(stream(found)), "default")
    ours, parsers = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(  # noqa: T201 - a command
        f"{report.added} documents, {report.chunks} chunks, {time.process_time() - started_s:.0f} s of CPU; "
        f"at most {ours} MiB here and {parsers} MiB in a parser"
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
