"""The composition root: everything that serves is built, opened and closed here, in this order and back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tokenizers import Tokenizer

from cache.config import NoCacheConfig
from cache.exact import ExactCache
from ingest.library import Library
from ingest.pipeline import Indexer
from llm.config import ExtractiveConfig
from llm.factory import open_models
from rag.base.health import Health
from rag.base.ports import ChatModel
from rag.base.stages import Stages
from rag.base.types import Scope
from rag.govern.keys import LOCAL_ID, KeyConfig, KeyRing, hash_of, read_keys
from rag.govern.limits import Limits
from rag.index.config import EdgeConfig
from rag.index.embedders.factory import open_embedder
from rag.index.factory import Store, open_store
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.infer.batcher import BatchReport
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.prompt import load_template
from rag.pipeline.search import Searcher
from rag.settings import Settings
from rerank.factory import open_reranker


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the front door and the commands need, open and ready."""

    keys: KeyRing
    limits: Limits
    fields: Fields
    health: Health
    searcher: Searcher
    answerer: CachedAnswerer
    models: Mapping[str, ChatModel]
    indexer: Indexer
    library: Library
    optimize: Callable[[], Awaitable[bool]]
    """Builds the search index of what was stored since. Holds up this whole process: not for one that serves."""
    startup_s: Mapping[str, float]


def key_ring(settings: Settings, local_token: str) -> KeyRing:
    """The configured keys; where there are any, `local_token` is one more, for those who may read the data folder."""
    keys = [*settings.auth.keys]
    if settings.auth.keys_file:
        keys += read_keys(settings.auth.keys_file)
    if keys:
        scopes: frozenset[Scope] = frozenset({"read", "write", "admin"})
        keys.append(KeyConfig(id=LOCAL_ID, hash=hash_of(local_token), subject="local", scopes=scopes))
    return KeyRing(keys)


@asynccontextmanager
async def open_services(
    settings: Settings, keys: KeyRing, on_batch: Callable[[BatchReport], None] | None = None
) -> AsyncIterator[Services]:
    """Opens everything, warmed up, and closes it in reverse. Raises ConfigError, Unavailable."""
    startup = Stages()
    fields = Fields(settings.fields)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        with startup.stage("models"):
            embedder, tokenizer = await enter(open_embedder(settings.embedder, settings.models_dir, on_batch))
            reranker = await enter(open_reranker(settings.reranker, settings.models_dir, on_batch))
        with startup.stage("index"):
            opened = open_store(
                settings.index,
                data_dir=settings.data_dir,
                fields=fields,
                fusion=settings.fusion,
                embedder_name=embedder.name,
                dimension=embedder.dimension,
            )
            store = await enter(opened)
            retriever = await enter(_open_retriever(store, on_batch))
        with startup.stage("answer models"):
            configs = {EXTRACTIVE: ExtractiveConfig(), **settings.models}
            models = await enter(open_models(configs, embedder=embedder))
        searcher = Searcher(embedder, retriever, reranker, settings.answer)
        answerer = Answerer(
            searcher, models, load_template(), settings.answer, count=_counter(tokenizer), index=store.name
        )
        indexer = Indexer(embedder, store, tokenizer, settings.ingest)
        yield Services(
            keys=keys,
            limits=settings.limits,
            fields=fields,
            health=_warm_health(),
            searcher=searcher,
            answerer=CachedAnswerer(answerer, _answer_cache(settings), lambda: store.epoch),
            models=models,
            indexer=indexer,
            library=Library(indexer, store),
            optimize=store.optimize,
            startup_s=startup.seconds(),
        )


@asynccontextmanager
async def _open_retriever(
    store: Store, on_batch: Callable[[BatchReport], None] | None
) -> AsyncIterator[BatchedRetriever]:
    retriever = BatchedRetriever(store, on_batch)
    try:
        yield retriever
    finally:
        await retriever.aclose()


def _answer_cache(settings: Settings) -> ExactCache | None:
    """None too where other processes change the index unseen: an answer from memory could be out of date there."""
    if isinstance(settings.cache, NoCacheConfig) or not isinstance(settings.index, EdgeConfig):
        return None
    return ExactCache(settings.cache.max_bytes, settings.cache.ttl_s)


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _warm_health() -> Health:
    health = Health()
    health.warmed_up()
    return health
