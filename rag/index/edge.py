"""The embedded store: Qdrant Edge in this process, its blocking calls on threads of our own.

What to know of the vendor (0.9.0; measured on 2 cores in 2026-11):

- Queries and updates leave the interpreter to other threads; `optimize`, `flush` and `close` do not. Building the HNSW
  graph of 20,000 chunks stops the whole process for 8 s, of 100,000 for 58 s; a flush stops it for 0.15 s.
- One update is one entry of the write-ahead log: after `kill -9` all of it is there or none. Only a flush shortens the
  log, and opening replays it: 30,000 chunks in 3 s.
- A query may run while an update is being applied and see part of it; the gate keeps readers out meanwhile.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import msgspec
import numpy as np
from qdrant_edge import CountRequest, EdgeShard, FacetRequest, Record, ScrollRequest

from rag.base.errors import ConfigError, GroundwireError, Unavailable
from rag.base.ports import IndexedDocument, Page, Retrieval, Vectors
from rag.base.priority import COMPUTING, step_back
from rag.base.types import Access, Filters, Passage
from rag.index.bm25 import Bm25Encoder
from rag.index.config import EdgeConfig, FusionConfig
from rag.index.cursor import cursor_at, read_cursor
from rag.index.edge_search import EdgeSearch
from rag.index.edge_shard import PAGE, edge_filter, index_fields, open_shard, remove_drafts
from rag.index.edge_words import counted
from rag.index.edge_write import Batch, batches, remove, roll_forward, store
from rag.index.filters import Fields
from rag.index.frequencies import DocumentFrequencies
from rag.index.gate import Gate
from rag.index.hybrid import DENSE, Hybrid, Outcome, dense_of
from rag.index.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from rag.index.payload import identifier_of, point_id, read_passage, read_record
from rag.index.selection import CHUNKS, DOCUMENTS, OneOf, Selection, selected
from rag.index.wear import Wear

_FLUSH_EVERY: Final = 8192
"""Points between flushes: a pause of 0.15 s each, and at most 1 s of log to replay when opening."""

Result = TypeVar("Result")


class EdgeStore:
    """The PassageStore in a folder. Made by `open`; one process at a time. Safe to call from one event loop."""

    def __init__(
        self,
        shard: EdgeShard,
        frequencies: DocumentFrequencies,
        search: EdgeSearch,
        threads: ThreadPoolExecutor,
        require_space: Callable[[], None],
    ) -> None:
        self._require_space = require_space
        self._shard: EdgeShard | None = shard
        self._frequencies = frequencies
        self._search = search
        self._threads = threads
        self._gate = Gate()
        self._writes: set[asyncio.Task[Any]] = set()
        self._n_unflushed = 0
        self._n_put = 0
        self._n_at_first = _count(shard, CHUNKS)
        # Indexed are the words of every chunk, and the vectors of those that were there when it was optimized.
        self._n_one_by_one_at_first = max(0, 2 * self._n_at_first - shard.info().indexed_vectors_count)
        self._torn = False
        # Starts at the time of opening, so that it grows across restarts too and an old cache never looks fresh.
        self._epoch = time.time_ns()

    @classmethod
    async def open(  # noqa: PLR0913 - all that an index is made of, passed by name
        cls,
        path: Path,
        *,
        config: EdgeConfig,
        fusion: FusionConfig,
        fields: Fields,
        embedder_name: str,
        dimension: int,
        manifest: str = MANIFEST,
    ) -> Self:
        """Opens the index in the folder `path`, made when missing, and finishes what a crash left half done.

        Several may be in one folder: `manifest` is the name of the file that says which one.

        Raises ConfigError when another process has it open or when it was built with another embedder, Unavailable
        when it cannot be read.
        """
        encoder = Bm25Encoder(config.bm25)
        require_space = partial(_require_space, path, config.min_free_bytes)
        wanted = Manifest(embedder=embedder_name, dimension=dimension, bm25=config.bm25, fields=fields.declared)
        # The first of them loads the shard, whose own threads inherit its priority.
        threads = ThreadPoolExecutor(config.threads, "index", partial(step_back, COMPUTING))
        try:
            opened = await asyncio.get_running_loop().run_in_executor(
                threads, _open, path / manifest, wanted, fields, require_space
            )
        except BaseException:
            threads.shutdown(wait=False)
            raise
        return cls(*opened, EdgeSearch(Hybrid(fields, fusion, encoder, dimension)), threads, require_space)

    async def close(self) -> None:
        """Ends the work in hand, writes everything out and frees the folder. Later calls raise Unavailable."""
        if self._shard is None:
            return
        while self._writes:
            await asyncio.wait(self._writes)
        async with self._gate.exclusive():
            shard, self._shard = self._shard, None
        await asyncio.to_thread(self._threads.shutdown)
        if shard is not None:
            await asyncio.to_thread(shard.close)
        self._frequencies = DocumentFrequencies()  # of a large index they are large

    @property
    def name(self) -> str:
        """The store as the lineage of an answer names it."""
        return f"qdrant-edge/{self._search.hybrid.fusion.kind}"

    @property
    def epoch(self) -> int:
        """Grows with every change that a reader can see."""
        return self._epoch

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        """As the port says; also raises PermanentIngestError, before anything is stored, for what cannot be stored."""
        prepared = await self._done(lambda _: batches(documents, self._search.hybrid.encoder))
        for batch in prepared:
            await self._write(partial(self._store, batch=batch))

    async def delete(self, access: Access, filters: Filters) -> int:
        """As the port says, in one step: a crash leaves each document whole or gone."""
        selection = selected(access, filters, self._search.hybrid.fields)
        return await self._write(lambda shard: self._remove(shard, selection))

    async def records(self, access: Access, filters: Filters, limit: int, cursor: str | None = None) -> Page:
        """As the port says."""
        after = None if cursor is None else read_cursor(cursor)
        selection = selected(access, filters, self._search.hybrid.fields, "document")
        return await self._read(lambda shard: _page(shard, selection, limit, after))

    async def passages(self, access: Access, document_id: str) -> list[tuple[Passage, Vectors]]:
        """As the port says."""
        visible = selected(access, (), self._search.hybrid.fields, "chunk")
        selection = Selection(must=(*visible.must, (OneOf("document_id", (document_id,)),)))
        return await self._read(lambda shard: _passages(shard, selection))

    async def count(self, access: Access, filters: Filters = ()) -> int:
        """How many documents match."""
        selection = selected(access, filters, self._search.hybrid.fields, "document")
        return await self._read(lambda shard: _count(shard, selection))

    async def n_documents(self) -> int:
        """How many documents there are, whoever may see them."""
        return await self._read(lambda shard: _count(shard, DOCUMENTS))

    async def tenants(self) -> list[str]:
        """Everyone who has a document here, for upkeep that goes over all of them."""
        return await self._read(_tenants)

    async def search_batch(self, requests: Sequence[Retrieval], *, here: bool = False) -> list[Outcome]:
        """One outcome per request, in order: at most `limit` candidates, best first, or why that member failed.

        With `here` it blocks the event loop, once no write is under way.
        """
        return await self._read(lambda shard: self._search.run(shard, self._frequencies, requests), here=here)

    async def wear(self) -> Wear:
        """What building the index anew would gain. What was gone before it was opened is not known."""
        return await self._read(self._wear)

    async def optimize(self) -> bool:
        """Builds the HNSW graph over what was added since the last time; returns whether there was anything to do.

        Stops the whole process meanwhile (see above): for a command after its last write, not for a running server.
        Without it new chunks are found by comparing them all: exact, at 0.3 ms per question and 1,000 chunks.
        """
        return await self._write(lambda shard: shard.optimize())

    def _wear(self, shard: EdgeShard) -> Wear:
        n_chunks, n_ever = _count(shard, CHUNKS), self._n_at_first + self._n_put
        return Wear(
            n_chunks=n_chunks,
            n_one_by_one=min(n_chunks, self._n_one_by_one_at_first + self._n_put),
            n_gone=n_ever - n_chunks,
        )

    def _store(self, shard: EdgeShard, batch: Batch) -> None:
        self._require_space()
        try:
            store(shard, batch, self._frequencies)
        except BaseException:
            self._mend(shard)
            raise
        finally:
            self._epoch += 1
        self._n_put += len(batch.chunks)
        self._n_unflushed += len(batch.chunks) + len(batch.documents)
        if self._n_unflushed >= _FLUSH_EVERY:
            shard.flush()
            self._n_unflushed = 0

    def _remove(self, shard: EdgeShard, selection: Selection) -> int:
        try:
            n_removed = remove(shard, selection, self._frequencies)
        except BaseException:
            self._epoch += 1
            self._mend(shard)
            raise
        self._epoch += bool(n_removed)
        return n_removed

    def _mend(self, shard: EdgeShard) -> None:
        """Ends replacements that failed half way, and counts the words anew; while that fails, readers are refused."""
        self._torn = True
        roll_forward(shard)
        self._frequencies = counted(shard)
        self._torn = False

    async def _read(self, work: Callable[[EdgeShard], Result], *, here: bool = False) -> Result:
        async with self._gate.shared():
            if self._torn:
                raise Unavailable("the last write to the index failed half way and could not be mended; see the log")
            return await self._done(work, here=here)

    async def _write(self, work: Callable[[EdgeShard], Result]) -> Result:
        # The thread cannot be stopped. A caller that gives up must not open the gate before the thread is done, so the
        # task outlives its caller; `close` waits for it.
        task = asyncio.create_task(self._write_alone(work))
        self._writes.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def _write_alone(self, work: Callable[[EdgeShard], Result]) -> Result:
        async with self._gate.exclusive():
            if self._torn:
                await self._done(self._mend)
            return await self._done(work)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, for the case that its caller is gone

    async def _done(self, work: Callable[[EdgeShard], Result], *, here: bool = False) -> Result:
        if self._shard is None:
            raise Unavailable("the index is closed")
        try:
            if here:
                return work(self._shard)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, self._shard)
        except GroundwireError:
            raise
        except Exception as error:  # the vendor raises nothing more specific
            raise Unavailable("the index failed; the log says why") from error


def _require_space(path: Path, n_bytes: int) -> None:
    """Raises Unavailable when less is free on the disk of `path`."""
    free = shutil.disk_usage(path).free
    if free < n_bytes:
        raise Unavailable(
            f"{free // 2**20} MiB are free on the disk of the index in {path}, and {n_bytes // 2**20} are needed to "
            "write to it; make room, or set index.min_free_bytes"
        )


def _open(
    manifest_path: Path, wanted: Manifest, fields: Fields, require_space: Callable[[], None]
) -> tuple[EdgeShard, DocumentFrequencies]:
    path = manifest_path.parent
    try:
        path.mkdir(parents=True, exist_ok=True)
        manifest = read_manifest(manifest_path)
        if manifest is None:
            require_space()
            manifest = wanted
            write_manifest(manifest_path, manifest)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"the index folder {path} cannot be made: {reason}; choose another with `data_dir`"
        ) from error
    manifest.require_same_build(wanted, f"the index in {path}")
    shard = open_shard(path / manifest.shard, manifest.dimension)
    if manifest.fields != wanted.fields:
        write_manifest(manifest_path, msgspec.structs.replace(manifest, fields=wanted.fields))
    remove_drafts(path / manifest.shard)
    index_fields(shard, fields.stored)
    roll_forward(shard)
    return shard, counted(shard)


def _count(shard: EdgeShard, selection: Selection) -> int:
    return shard.count(CountRequest(exact=True, filter=edge_filter(selection)))


def _tenants(shard: EdgeShard) -> list[str]:
    found = shard.facet(FacetRequest(key="tenant", limit=shard.info().points_count or 1, exact=True))
    return sorted(str(hit.value) for hit in found.hits)


def _page(shard: EdgeShard, selection: Selection, limit: int, start: str | None) -> Page:
    offset = None if start is None else point_id(start)
    wanted = edge_filter(selection)
    found, following = shard.scroll(ScrollRequest(offset=offset, limit=limit, filter=wanted, with_payload=True))
    is_whole = start is None and following is None
    return Page(
        records=tuple(read_record(record.payload or {}) for record in found),
        total=len(found) if is_whole else shard.count(CountRequest(exact=True, filter=wanted)),
        cursor=None if following is None else cursor_at(identifier_of(following)),
    )


def _passages(shard: EdgeShard, selection: Selection) -> list[tuple[Passage, Vectors]]:
    passages: list[tuple[Passage, Vectors]] = []
    offset: int | UUID | str | None = None
    while True:
        found, offset = shard.scroll(
            ScrollRequest(
                offset=offset, limit=PAGE, filter=edge_filter(selection), with_payload=True, with_vector=[DENSE]
            )
        )
        passages.extend(_passage(record) for record in found)
        if offset is None:
            return sorted(passages, key=lambda entry: entry[0].chunk.ordinal)


def _passage(record: Record) -> tuple[Passage, Vectors]:
    passage = read_passage(identifier_of(record.id), record.payload or {})
    return passage, np.asarray(dense_of(record.vector), dtype=np.float32)
