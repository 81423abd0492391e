"""The composition root: everything that serves is built, opened and closed here, in this order and back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from tokenizers import Tokenizer

from ingest.library import Library
from ingest.parse.pool import ParserPool
from ingest.pipeline import Indexer
from ingest.queue.desk import Desk
from llm.config import ExtractiveConfig, ModelConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import ModelRegistry, open_models
from llm.tariff import tariff_of
from rag.base.errors import ConfigError
from rag.base.folders import private_folder
from rag.base.health import Health
from rag.base.ports import Answers, ChatModel, Embedder, PassageStore, Reranker, Retriever
from rag.base.stages import Stages
from rag.base.types import Scope
from rag.govern.accounts import AccountBook
from rag.govern.admission import Admission
from rag.govern.admitted import AdmittedModel
from rag.govern.budgeted import BudgetedModel
from rag.govern.factory import open_ledger, open_schedules
from rag.govern.governed import GovernedModel
from rag.govern.guards import Guards
from rag.govern.keys import LOCAL_ID, KeyConfig, KeyRing, hash_of
from rag.govern.keys_file import read_keys
from rag.govern.limits import Limits
from rag.govern.meters import Meters
from rag.govern.permitted import PermittedAnswers
from rag.index.config import EdgeConfig
from rag.index.embedders.factory import open_embedder
from rag.index.embedders.shared import SharedEmbedder
from rag.index.factory import INDEX, Store, open_store
from rag.index.filters import Fields
from rag.index.retriever import BatchedRetriever
from rag.infer.tokens import lengths_of
from rag.observation import Observation, open_observation
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.cache_desk import CacheDesk
from rag.pipeline.prompt import load_template
from rag.pipeline.search import Searcher
from rag.queueing import Shift, open_desk, open_shift
from rag.records.feedback import FeedbackBook
from rag.reload import Reloader
from rag.remembering import open_remembering
from rag.settings import Settings
from rag.telemetry.metrics import Metrics
from rag.telemetry.tracing import Tracing
from rerank.factory import open_reranker

if TYPE_CHECKING:
    from rag.index.edge import EdgeStore


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the front door and the commands need, open and ready."""

    keys: KeyRing
    book: AccountBook
    meters: Meters
    limits: Limits
    admission: Admission
    fields: Fields
    health: Health
    metrics: Metrics
    searcher: Searcher
    count_tokens: Callable[[Sequence[str]], list[int]]
    """The tokens of each text as the embedder's model reads it, special ones included, however long."""
    answerer: Answers
    models: Mapping[str, ChatModel]
    registry: ModelRegistry
    """The same, for those who look behind the names."""
    reloader: Reloader
    default_model: str
    library: Library
    desk: Desk | None
    """None where documents are indexed by whom they are handed to."""
    parsers: ParserPool
    cache: CacheDesk | None
    """None where no answer is kept."""
    feedback: FeedbackBook | None
    """None where no request log is kept that it could be tied to."""
    tracing: Tracing
    optimize: Callable[[], Awaitable[bool]]
    """Builds the search index of what was stored since. Holds up this whole process: not for one that serves."""


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """An index and its successor: what the old one holds, how to put it into the new one, and the step over."""

    old: "EdgeStore"
    indexer: Indexer
    adopt: Callable[[], Awaitable[None]]


def with_keys(settings: Settings, local_token: str) -> Settings:
    """The settings with all keys, those of the keys file too, in `auth.keys`.

    Where there are any, `local_token` is one more, for those who may read the data folder.

    Raises ConfigError when a keys file is configured and no key is in it: that door was not meant to stand open.
    """
    keys = [*settings.auth.keys]
    if settings.auth.keys_file:
        keys += read_keys(settings.auth.keys_file)
        if not keys:
            file = settings.auth.keys_file
            raise ConfigError(
                f"the keys file {file} holds no key; add one with `rag keys create`", path="auth.keys_file"
            )
    if keys:
        scopes: frozenset[Scope] = frozenset({"admin", "operator"})
        keys.append(KeyConfig(id=LOCAL_ID, hash=hash_of(local_token), subject="local", scopes=scopes))
    return replace(settings, auth=replace(settings.auth, keys=tuple(keys)))


@asynccontextmanager
async def open_services(
    settings: Settings, keys: KeyRing, read: Callable[[], Settings] | None = None
) -> AsyncIterator[Services]:
    """All of it open, warmed up and measured; `read` gives the settings anew. Raises ConfigError, Unavailable."""
    startup, health, fields = Stages(), Health(), Fields(settings.fields)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        seen = await enter(open_observation(settings))
        guards = await enter(_open_guards(settings, keys, seen))
        with startup.stage("models"):
            embedder, tokenizer, reranker = await enter(_open_readers(settings, seen))
        with startup.stage("index"):
            store, traced, searcher = await enter(_open_search(settings, (embedder, reranker), guards, seen))
        with startup.stage("answer models"):
            models = await enter(_open_models(settings, embedder, guards, seen))
        recipe = _answerer(settings, searcher, models, tokenizer, store.name)
        kept = await enter(open_remembering(recipe, models, store, traced, settings))
        seen.started((embedder.name, reranker.name, store.name), startup.seconds(), health)
        library = Library(seen.indexer(embedder, kept.written, tokenizer, settings.ingest), kept.written)
        health.warmed_up()
        yield Services(
            keys=keys,
            book=guards.book,
            meters=guards.meters,
            limits=settings.limits,
            admission=guards.admission,
            fields=fields,
            health=health,
            metrics=seen.metrics,
            searcher=searcher,
            count_tokens=partial(lengths_of, tokenizer),
            answerer=seen.answers(_permitted(kept.answers, guards.book, settings)),
            models=models,
            registry=models,
            reloader=Reloader(settings, partial(_exchange, models, keys, guards.book), read),
            default_model=settings.answer.model,
            library=library,
            desk=await enter(open_desk(settings, library)),
            cache=kept.desk,
            parsers=await enter(ParserPool(settings.ingest)),
            feedback=seen.feedback,
            tracing=seen.tracing,
            optimize=store.optimize,
        )


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Shift]:
    """A worker with its models and the index, ready to begin. Raises ConfigError, Unavailable."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        embedder, tokenizer = await enter(open_embedder(settings.embedder, settings.models_dir))
        store = await enter(_open_store(settings, Fields(settings.fields), embedder))
        library = Library(Indexer(embedder, store, tokenizer, settings.ingest), store)
        parsers = await enter(ParserPool(settings.ingest))
        yield await enter(open_shift(settings, library, parsers))


@asynccontextmanager
async def open_rebuild(settings: Settings) -> AsyncIterator[Rebuild]:
    """The index as it is, and one beside it that is built with the present settings. Raises ConfigError."""
    from rag.index.rebuild import NEXT, adopt, open_as_built

    if not isinstance(settings.index, EdgeConfig):
        raise ConfigError(
            "`rag reindex` rebuilds embedded indexes; for a Qdrant server, ingest into another collection"
        )
    index, built = settings.data_dir / INDEX, settings.data_dir / NEXT
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        old = await enter(open_as_built(index, settings.index))
        embedder, tokenizer = await enter(open_embedder(settings.embedder, settings.models_dir))
        new = await enter(_open_store(settings, Fields(settings.fields), embedder, folder=NEXT))

        async def step_over() -> None:
            await new.optimize()
            await stack.aclose()
            await asyncio.to_thread(adopt, index, built)

        yield Rebuild(old=old, indexer=Indexer(embedder, new, tokenizer, settings.ingest), adopt=step_over)


def _catalogue(settings: Settings) -> Catalogue:
    """The models and routes that the settings ask for; the extractive model is always among them."""
    models = {EXTRACTIVE: ExtractiveConfig(), **settings.models}
    return Catalogue(models=models, routes=settings.routes, routing=settings.routing)


@asynccontextmanager
async def _open_guards(settings: Settings, keys: KeyRing, seen: Observation) -> AsyncIterator[Guards]:
    async with open_schedules(settings.ledger) as schedules:
        book = AccountBook(keys.configs, settings.accounts)
        admission = Admission(settings.limits)
        seen.limited(lambda: admission.limit)
        yield Guards(book, Meters(schedules), admission)


@asynccontextmanager
async def _open_models(
    settings: Settings, embedder: Embedder, guards: Guards, seen: Observation
) -> AsyncIterator[ModelRegistry]:
    """The models and routes, traced, each behind what its callers may use; the extractive one is everyone's.

    Money is set aside for every call of a model, so retries and hedges are paid for too.
    """
    book, meters, admission = guards
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings.ledger, settings.data_dir))

        def budgeted(name: str, config: ModelConfig, model: ChatModel) -> ChatModel:
            traced = seen.model(model, config)
            return traced if name == EXTRACTIVE else BudgetedModel(traced, tariff_of(config), ledger, book)

        def governed(name: str, model: ChatModel) -> ChatModel:
            if name == EXTRACTIVE:
                return AdmittedModel(model, admission)
            route = seen.tracing.route(name, model)
            return seen.alias(name, GovernedModel(name, route, book, meters), book.subject)

        parts = Parts(embedder=embedder, wrap=budgeted, cover=governed)
        yield await stack.enter_async_context(open_models(_catalogue(settings), parts, seen.attempt))


async def _exchange(models: ModelRegistry, keys: KeyRing, book: AccountBook, settings: Settings) -> None:
    """Puts other models, routes, keys and accounts into force. Raises ConfigError, and then nothing has changed."""
    ring = KeyRing(settings.auth.keys)
    AccountBook(ring.configs, settings.accounts)  # raises, if it must, before anything has changed
    keys.check_exchange(ring)
    await models.exchange(_catalogue(settings))
    keys.exchange(ring.configs)
    book.exchange(ring.configs, settings.accounts)


def _permitted(answers: Answers, book: AccountBook, settings: Settings) -> Answers:
    return PermittedAnswers(answers, book, default=settings.answer.model, free=EXTRACTIVE)


def _open_store(
    settings: Settings, fields: Fields, embedder: Embedder, folder: str = INDEX
) -> AbstractAsyncContextManager[Store]:
    private_folder(settings.data_dir)
    return open_store(
        settings.index,
        folder=settings.data_dir / folder,
        fields=fields,
        fusion=settings.fusion,
        embedder_name=embedder.name,
        dimension=embedder.dimension,
    )


@asynccontextmanager
async def _open_readers(settings: Settings, seen: Observation) -> AsyncIterator[tuple[Embedder, Tokenizer, Reranker]]:
    """The models that read, and the tokenizer that measures for them."""
    folder = settings.models_dir
    async with (
        open_embedder(settings.embedder, folder, seen.batch) as (embedder, tokenizer),
        open_reranker(settings.reranker, folder, seen.batch) as reranker,
    ):
        yield seen.embedder(embedder, settings.embedder), tokenizer, seen.reranker(reranker, settings.reranker)


@asynccontextmanager
async def _open_search(
    settings: Settings, readers: tuple[Embedder, Reranker], guards: Guards, seen: Observation
) -> AsyncIterator[tuple[Store, PassageStore, Searcher]]:
    """The store, the same traced, and what finds passages in it."""
    embedder, reranker = readers
    async with (
        _open_store(settings, Fields(settings.fields), embedder) as store,
        _open_retriever(store, settings, seen) as (traced, retriever),
    ):
        shared, admitted = SharedEmbedder(embedder), guards.admission.admitted
        yield store, traced, Searcher(shared, retriever, reranker, settings.answer, admitted)


@asynccontextmanager
async def _open_retriever(
    store: Store, settings: Settings, seen: Observation
) -> AsyncIterator[tuple[PassageStore, Retriever]]:
    """The store and its search, traced."""
    seen.counting(store)
    traced = seen.store(store, settings.index)
    retriever = BatchedRetriever(traced, seen.batch)
    try:
        yield traced, seen.tracing.retriever(retriever, store.name)
    finally:
        await retriever.aclose()


def _answerer(
    settings: Settings, searcher: Searcher, models: Mapping[str, ChatModel], tokenizer: Tokenizer, index: str
) -> Answerer:
    return Answerer(searcher, models, load_template(), settings.answer, count=_counter(tokenizer), index=index)


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """Remembers a few counts: the system part of every prompt is the same."""
    return lru_cache(maxsize=8)(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))
