"""Chunks of several sizes in turn: each is embedded, stored and searched as the service does it."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace
from tokenizers import Tokenizer

from ingest.config import IngestConfig
from ingest.embed import BulkEmbedder, Chunked, Embedded
from ingest.plan import record_of
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError
from rag.base.ports import Embedder, IndexedDocument, Retrieval
from rag.base.types import Candidate, Document, Lane, Work
from rag.evals.chunking import TENANT, Asked, Found, Scores, Setting, TokenMap, cut, scored
from rag.govern.access import managed_in
from rag.index.config import EdgeConfig, FusionConfig
from rag.index.factory import Store, open_store
from rag.index.filters import Fields

N_FOUND: Final = 40
"""Chunks that are asked for: more than a context of 1,000 tokens holds of the smallest."""
TIMEOUT_S: Final = 3600.0


class ChunkingRun:
    """Measures settings of chunks on documents and the questions about them."""

    def __init__(
        self, documents: Sequence[Document], asked: Sequence[Asked], embedder: Embedder, tokenizer: Tokenizer
    ) -> None:
        self._documents = documents
        self._asked = asked
        self._embedder = embedder
        self._tokenizer = tokenizer
        self._tokens = {each.uri: TokenMap(tokenizer, each.text) for each in documents}

    async def measure(self, setting: Setting, config: IngestConfig, fusion: FusionConfig) -> Scores:
        """The scores of chunks cut by the setting; all else is as in the settings."""
        chunked = [
            Chunked(each, tuple(cut(each, self._tokenizer, config, setting, self._tokens[each.uri])))
            for each in self._documents
        ]
        with TemporaryDirectory(prefix="groundwire-eval-") as folder:
            async with open_store(
                EdgeConfig(),
                folder=Path(folder),
                fields=Fields({}),
                fusion=fusion,
                embedder_name=self._embedder.name,
                dimension=self._embedder.dimension,
            ) as store:
                await store.put(await self._embedded(chunked, config))
                answers = await self._search(store)
        chunks = [chunk for each in chunked for chunk in each.chunks]
        return scored(setting, chunks, answers, self._tokens)

    async def _embedded(self, chunked: Sequence[Chunked], config: IngestConfig) -> list[IndexedDocument]:
        results = await BulkEmbedder(self._embedder, config).embed(chunked, lambda: _work("bulk"))
        return [_indexed(each) for each in results.values()]

    async def _search(self, store: Store) -> list[tuple[Asked, list[Found]]]:
        vectors = await self._embedder.embed([each.question for each in self._asked], "query", _work("interactive"))
        requests = [
            Retrieval(text=each.question, vector=vector, access=managed_in(TENANT), filters=(), limit=N_FOUND)
            for each, vector in zip(self._asked, vectors, strict=True)
        ]
        outcomes = await store.search_batch(requests)
        return [(asked, _found(outcome)) for asked, outcome in zip(self._asked, outcomes, strict=True)]


def _work(lane: Lane) -> Work:
    return Work(tenant=TENANT, deadline=Deadline.after(TIMEOUT_S), lane=lane)


def _indexed(result: Embedded | GroundwireError) -> IndexedDocument:
    if isinstance(result, GroundwireError):
        raise result
    record = replace(record_of(result.document), n_chunks=len(result.chunks))
    return IndexedDocument(record=record, chunks=result.chunks, vectors=result.vectors)


def _found(outcome: list[Candidate] | GroundwireError) -> list[Found]:
    if isinstance(outcome, GroundwireError):
        raise outcome
    passages = [candidate.passage for candidate in outcome]
    return [Found(document=each.uri, span=(each.chunk.start, each.chunk.stop)) for each in passages]
