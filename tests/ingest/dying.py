"""Work in processes that die, each at another point of it, with a reader beside it: `dying.py WORK BEFORE FOLDER`.

The work is an `update` or a `reindex`. Its points are the moments before and after every operation that it writes to
the shard, and after the steps from one index to the other. `FOLDER/POINT` is what the process left of the index
`BEFORE`; how it ended and the name of the point are printed. The last one lives. A reader that ever sees a document in
no version or in two ends its process with `MIXED`.
"""

import asyncio
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from ingest.draft import Draft
from ingest.reindex import Copy
from rag.base.ids import document_id
from rag.base.ports import Retrieval
from rag.base.types import Match
from rag.generation import Replacement, replace_index
from rag.govern.access import managed_in
from rag.index.config import EdgeConfig, FusionConfig
from rag.index.edge import EdgeStore
from rag.index.filters import Fields
from rag.index.rebuild import EdgeRebuild, adoption, open_next
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, an_indexer, run, work

MIXED = 9
OLD = "".join(f"The cat sat on mat {at}. " for at in range(12))
NEW = "".join(f"A cat sat on the mat {at}. " for at in range(10))
BEFORE = [Draft(uri="doc:a", text=OLD), Draft(uri="doc:b", text=OLD), Draft(uri="doc:c", text=OLD)]
AFTER = [Draft(uri="doc:a", text=NEW), Draft(uri="doc:d", text="The mat."), Draft(uri="doc:e", text="The mat.")]
VERSIONS = {"doc:a": (OLD, NEW), "doc:b": (OLD,), "doc:c": (OLD,)}


class DyingShard:
    """Counts the moments before and after each write, and kills the process in one of them."""

    def __init__(self, shard: Any, point: int) -> None:
        self._shard = shard
        self._left = point

    @staticmethod
    def _tell(point: str) -> None:
        os.write(1, point.encode())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)

    def update(self, operation: Any) -> Any:
        writer = sys._getframe(1).f_code.co_name
        self.pass_point(f"before {writer}")
        result = self._shard.update(operation)
        self.pass_point(f"after {writer}")
        return result

    def pass_point(self, point: str) -> None:
        if self._left == 0:
            self._tell(point)
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


OPTIONS: Any = {
    "config": EdgeConfig(min_free_bytes=0),
    "fusion": FusionConfig(),
    "fields": Fields({}),
}


async def opened(folder: Path) -> EdgeStore:
    return await EdgeStore.open(folder, embedder_name=HashingEmbedder.name, dimension=64, **OPTIONS)


async def following(folder: Path) -> EdgeStore:
    """The index that grows beside the one in use."""
    return await open_next(folder, HashingEmbedder(), **OPTIONS)


async def seen(store: EdgeStore, uri: str) -> tuple[set[str], str]:
    """The versions of a document that one search sees, and the text of all that it found, in order."""
    embedder = HashingEmbedder()
    vector = (await embedder.embed(["the cat sat on a mat"], "query", work()))[0]
    own = (Match(field="document_id", any_of=(document_id(TENANT, uri),)),)
    request = Retrieval(text="cat mat", vector=vector, access=managed_in(TENANT), filters=own, limit=100)
    (found,) = await store.search_batch([request])
    assert isinstance(found, list)
    passages = sorted((each.passage for each in found), key=lambda passage: passage.chunk.ordinal)
    return {passage.version for passage in passages}, "".join(passage.chunk.text for passage in passages)


async def watch(store: EdgeStore) -> None:
    """Reads until cancelled; the originals are followed through their duplicates by the search of the whole."""
    while True:
        versions, text = await seen(store, "doc:a")
        if len(versions) != 1 or text not in VERSIONS["doc:a"]:
            os._exit(MIXED)
        await asyncio.sleep(0)


async def update(folder: Path, point: int) -> None:
    store = await opened(folder)
    store._shard = DyingShard(store._shard, point)  # type: ignore[assignment]  # a stand-in
    reader = asyncio.create_task(watch(store))
    await run(an_indexer(store), AFTER)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await store.close()


class DyingRebuild(EdgeRebuild):
    """Takes the steps to the next index one by one, each a point at which the process may die."""

    def __init__(self, index: Path, dying: DyingShard) -> None:
        super().__init__(index, OPTIONS["config"])
        self._dying = dying

    async def adopt(self) -> None:
        self._dying.pass_point("before the step")
        for step in adoption(self._index):
            self._dying.pass_point(f"after {step}")


async def reindex(folder: Path, point: int) -> None:
    """Into chunks of another size, a document at a time."""
    old, new = await opened(folder), await following(folder)
    dying = DyingShard(new._shard, point)
    dying.pass_point("after next opened")
    new._shard = dying  # type: ignore[assignment]  # a stand-in
    reader = asyncio.create_task(watch(old))
    indexer = an_indexer(new, chunk_tokens=24, window_documents=1)
    replacement = Replacement(old=old, new=new, indexer=indexer, rebuild=DyingRebuild(folder, dying))
    report = await replace_index(replacement, Copy(old), lambda _: None)
    assert not report.failed
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await old.close()
    await new.close()


def main(work: str, before: Path, folder: Path) -> None:
    doing = {"update": update, "reindex": reindex}[work]
    for point in count():
        shutil.copytree(before, folder / str(point))
        if (process := os.fork()) == 0:
            asyncio.run(doing(folder / str(point), point))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.write(1, f" {code}\n".encode())
        if code != -signal.SIGKILL:
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
