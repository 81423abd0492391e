"""Chunks of several documents to vectors, in batches that the embedder likes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from msgspec import Struct

from ingest.config import IngestConfig
from rag.base.errors import GroundwireError, LoadError
from rag.base.ports import Embedder, Vectors
from rag.base.titles import headed
from rag.base.types import Chunk, Document, Work

N_CALLS = 2
"""Embedder calls in flight: while one batch is computed the next one waits in the embedder's queue."""

Sleep = Callable[[float], Awaitable[None]]


class Chunked(Struct, frozen=True):
    """A document and its chunks."""

    document: Document
    chunks: tuple[Chunk, ...]


class Embedded(Struct, frozen=True):
    """A document with its chunks and, row by row, their vectors."""

    document: Document
    chunks: tuple[Chunk, ...]
    vectors: Vectors


def passage_text(document: Document, chunk: Chunk, config: IngestConfig) -> str:
    """What is embedded for a chunk: the title that its document gives itself and its headings on one line, its text."""
    if not config.embed_headings:
        return chunk.text
    return headed(chunk.text, document.uri, document.title, chunk.headings)


class BulkEmbedder:
    """Embeds the chunks of many documents; a failed batch costs the documents that have chunks in it."""

    def __init__(self, embedder: Embedder, config: IngestConfig, sleep: Sleep = asyncio.sleep) -> None:
        self._embedder = embedder
        self._config = config
        self._sleep = sleep

    async def embed(
        self, chunked: Sequence[Chunked], new_work: Callable[[], Work]
    ) -> dict[str, Embedded | GroundwireError]:
        """The documents with their vectors, or what went wrong, by id. `new_work` is called for each batch."""
        texts = [passage_text(each.document, chunk, self._config) for each in chunked for chunk in each.chunks]
        size = self._config.embed_batch_chunks
        permits = asyncio.Semaphore(N_CALLS)
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]
        calls = (self._embed_batch(batch, new_work, permits) for batch in batches)
        results = await asyncio.gather(*calls)
        found: dict[str, Embedded | GroundwireError] = {}
        start = 0
        for each in chunked:
            stop = start + len(each.chunks)
            found[each.document.id] = self._rows(each, results[start // size : -(-stop // size)], start % size)
            start = stop
        return found

    def _rows(
        self, chunked: Chunked, batches: Sequence[Vectors | GroundwireError], skip: int
    ) -> Embedded | GroundwireError:
        vectors: list[Vectors] = []
        for batch in batches:
            if isinstance(batch, GroundwireError):
                return batch
            vectors.append(batch)
        rows = vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
        return Embedded(chunked.document, chunked.chunks, rows[skip : skip + len(chunked.chunks)])

    async def _embed_batch(
        self, texts: Sequence[str], new_work: Callable[[], Work], permits: asyncio.Semaphore
    ) -> Vectors | GroundwireError:
        async with permits:
            work = new_work()
            while True:
                try:
                    return await self._embedder.embed(texts, "passage", work)
                except LoadError as error:
                    if work.lane != "bulk" or error.retry_after_s >= work.deadline.remaining_s():
                        return error
                    await self._sleep(error.retry_after_s)
                except GroundwireError as error:
                    return error
