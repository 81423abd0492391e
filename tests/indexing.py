"""What tests of indexing share: a tiny tokenizer, an indexer over a store in memory, and ways to look into it."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TypeVar

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.outcome import Failure, Report
from ingest.pipeline import Indexer
from rag.base.deadline import Deadline
from rag.base.ports import Embedder, IndexedDocument, PassageStore
from rag.base.types import DocumentRecord, Filters, Work
from rag.govern.access import managed_in
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder

Item = TypeVar("Item")
TENANT = "acme"
WORDS = ("the", "cat", "sat", "on", "a", "mat", "ed", "ing", "é", "😀")


def tiny_tokenizer() -> Tokenizer:
    """Word pieces of a few words and single characters, with [CLS] and [SEP] around them as BERT has it."""
    pieces = ["[UNK]", "[CLS]", "[SEP]", *WORDS, *(f"##{piece}" for piece in WORDS), *"bcdfghjkl#.|-`"]
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


TOKENIZER = tiny_tokenizer()


def an_indexer(store: PassageStore, embedder: Embedder | None = None, **config: object) -> Indexer:
    settings = IngestConfig(**{"chunk_tokens": 16, "window_documents": 4, "embed_batch_chunks": 3} | config)
    return Indexer(embedder or HashingEmbedder(), store, TOKENIZER, settings)


def work() -> Work:
    return Work(tenant=TENANT, deadline=Deadline.after(60), lane="interactive")


async def stream(items: Iterable[Item]) -> AsyncGenerator[Item, None]:
    for item in items:
        yield item


async def run(indexer: Indexer, items: Iterable[Draft | Failure]) -> Report:
    return await indexer.run(stream(items), TENANT)


async def all_records(store: PassageStore) -> dict[str, DocumentRecord]:
    """By uri."""
    page = await store.records(managed_in(TENANT), (), 10_000)
    return {record.uri: record for record in page.records}


async def content(store: PassageStore) -> dict[str, object]:
    """Everything that the store holds, in a form that can be compared."""
    found: dict[str, object] = {}
    for uri, record in (await all_records(store)).items():
        kept = await store.passages(managed_in(TENANT), record.id)
        facts = (record.title, record.version, record.acl, dict(record.metadata), record.n_chunks, record.duplicate_of)
        found[uri] = (facts, [(passage.chunk, vector.tolist()) for passage, vector in kept])
    return found


class Killed(BaseException):
    """The process dies here."""


class MortalStore(MemoryStore):
    """Dies when as many documents have been written or deleted as it has lives, also in the middle of a batch."""

    lives: int | None = None

    def _live(self) -> None:
        if self.lives is not None:
            self.lives -= 1
            if self.lives < 0:
                raise Killed

    async def put(self, documents: Sequence[IndexedDocument]) -> None:
        for document in documents:
            self._live()
            await super().put([document])

    async def delete(self, access: object, filters: Filters) -> int:
        self._live()
        return await super().delete(access, filters)
