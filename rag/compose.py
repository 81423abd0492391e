"""The composition root: everything that serves is built, opened and closed here, in this order and back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from msgspec.structs import replace
from tokenizers import Tokenizer

from cache.replies import Replies
from ingest.config import IngestConfig
from ingest.library import Library
from ingest.parse.pool import ParserPool
from ingest.pipeline import Indexer
from ingest.queue.desk import Desk
from llm.config import ExtractiveConfig, ModelConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import ModelRegistry, open_models
from llm.tariff import tariff_of
from rag.backup.taking import Backups
from rag.base.errors import ConfigError
from rag.base.folders import private_folder
from rag.base.health import Health
from rag.base.ports import Answers, ChatModel, Embedder, PassageStore, Reranker
from rag.base.stages import Stages
from rag.base.types import Scope
from rag.generation import Generation, Nursery, open_generation
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
from rag.index.embedders.factory import Opened, open_embedder
from rag.index.embedders.shared import SharedEmbedder
from rag.index.factory import INDEX, Store, open_store
from rag.index.filters import Fields
from rag.infer.tokens import lengths_of
from rag.observation import Observation, open_observation
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.cache_desk import CacheDesk
from rag.pipeline.profile import Profiles, summary_prompts
from rag.pipeline.prompts import PromptBook
from rag.pipeline.search import Searcher
from rag.queueing import Shift, open_desk, open_shift
from rag.records.feedback import FeedbackBook
from rag.reload import Reloader
from rag.remembering import Remembering, open_remembering
from rag.settings import Settings
from rag.succession import Succession
from rag.telemetry.metrics import Metrics
from rag.telemetry.tracing import Tracing
from rerank.factory import open_reranker


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
    succession: Succession
    backups: Backups
    parsers: ParserPool
    cache: CacheDesk | None
    """None where no answer is kept."""
    replies: Replies | None
    """What models said to requests of the gateway; None where no answer is kept."""
    feedback: FeedbackBook | None
    """None where no request log is kept that it could be tied to."""
    tracing: Tracing
    optimize: Callable[[], Awaitable[bool]]
    """Builds the search index of what was stored since. Holds up this whole process: not for one that serves."""


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


_Readers = tuple[Embedder, Tokenizer, Reranker]


class _Answering(NamedTuple):
    """What answers and what is answered from."""

    searcher: Searcher
    profiles: Profiles
    models: ModelRegistry
    kept: Remembering
    succession: Succession


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
            readers = await enter(_open_readers(settings, seen))
        answering = await enter(_open_answering(settings, readers, guards, seen, startup))
        searcher, models, succession = answering.searcher, answering.models, answering.succession
        made_of = (searcher.embedder.name, searcher.reranker.name, succession.present.store.name)
        seen.started(made_of, startup.seconds(), health)
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
            count_tokens=lambda texts: lengths_of(succession.present.tokenizer, texts),
            answerer=seen.answers(_permitted(answering.kept.answers, guards.book, settings)),
            models=models,
            registry=models,
            reloader=Reloader(settings, partial(_exchange, models, answering.profiles, keys, guards.book), read),
            default_model=settings.answer.model,
            library=succession.library,
            desk=await enter(open_desk(settings, succession.library)),
            succession=succession,
            backups=Backups(settings, succession.library.still),
            cache=answering.kept.desk,
            replies=answering.kept.replies,
            parsers=await enter(ParserPool(settings.ingest)),
            feedback=seen.feedback,
            tracing=seen.tracing,
            optimize=succession.present.store.optimize,
        )


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Shift]:
    """A worker with its models and the index, ready to begin. Raises ConfigError, Unavailable."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        opened = await enter(open_embedder(settings.embedder, settings.models_dir))
        library, _ = await enter(_open_library(settings, opened))
        yield await enter(open_shift(settings, library))


@asynccontextmanager
async def open_bulk(settings: Settings) -> AsyncIterator[tuple[Library, Store]]:
    """The index, and what documents get into it by, embedded on a Ray cluster. Raises ConfigError, Unavailable."""
    try:
        from rag.index.embedders.ray import open_pool
    except ImportError as missing:
        raise ConfigError("--engine ray needs an extra: pip install 'groundwire[ray]'") from missing
    async with (
        open_pool(settings.embedder, settings.models_dir) as opened,
        _open_library(settings, opened) as library,
    ):
        yield library


@asynccontextmanager
async def _open_library(settings: Settings, opened: Opened) -> AsyncIterator[tuple[Library, Store]]:
    embedder, tokenizer = opened
    async with _open_store(settings, embedder) as store:
        yield Library(Indexer(embedder, store, tokenizer, settings.ingest), store), store


def _catalogue(settings: Settings) -> Catalogue:
    """The models and routes that the settings ask for; the extractive model is always among them."""
    models = {EXTRACTIVE: ExtractiveConfig(), **settings.models}
    prompts = summary_prompts(PromptBook(settings.prompts), settings.routes)
    return Catalogue(models=models, routes=settings.routes, routing=settings.routing, summary_prompts=prompts)


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

        def aside(name: str, model: ChatModel) -> ChatModel:
            return GovernedModel(None, seen.tracing.summariser(name, model), book, meters)

        parts = Parts(embedder=embedder, wrap=budgeted, cover=governed, aside=aside)
        yield await stack.enter_async_context(open_models(_catalogue(settings), parts, seen.attempt))


async def _exchange(
    models: ModelRegistry, profiles: Profiles, keys: KeyRing, book: AccountBook, settings: Settings
) -> None:
    """Puts other models, routes, prompts, keys and accounts into force. Raises ConfigError, and nothing has changed."""
    ring, prompts = KeyRing(settings.auth.keys), PromptBook(settings.prompts)
    AccountBook(ring.configs, settings.accounts)  # raises, if it must, before anything has changed
    keys.check_exchange(ring)
    await models.exchange(_catalogue(settings))
    profiles.exchange(prompts, settings.routes)
    keys.exchange(ring.configs)
    book.exchange(ring.configs, settings.accounts)


def _permitted(answers: Answers, book: AccountBook, settings: Settings) -> Answers:
    return PermittedAnswers(answers, book, default=settings.answer.model, free=EXTRACTIVE)


@asynccontextmanager
async def _open_answering(
    settings: Settings, readers: _Readers, guards: Guards, seen: Observation, startup: Stages
) -> AsyncIterator[_Answering]:
    embedder, tokenizer, reranker = readers
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        with startup.stage("index"):
            present = await enter(_open_present(settings, (embedder, tokenizer), seen))
        with startup.stage("answer models"):
            models = await enter(_open_models(settings, embedder, guards, seen))
        shared, admit = SharedEmbedder(embedder), guards.admission.admitted
        searcher = Searcher(shared, present.retriever, reranker, settings.answer, admit)
        profiles = Profiles(settings.answer, PromptBook(settings.prompts), settings.routes)
        count, name = _counter(tokenizer), present.store.name
        recipe = Answerer(searcher, models, profiles, count=count, index=name)
        kept = await enter(
            open_remembering(recipe, models, lambda: succession.present.store.epoch, settings, seen.reply)
        )
        writing = partial(_writing, kept.hearing, seen)
        library = Library(*writing(present, settings.ingest))
        succession = await enter(Succession(present, settings, Nursery(settings, seen), searcher, library, writing))
        seen.counting(succession)
        yield _Answering(searcher, profiles, models, kept, succession)


def _open_store(settings: Settings, embedder: Embedder) -> AbstractAsyncContextManager[Store]:
    private_folder(settings.data_dir)
    return open_store(
        settings.index,
        folder=settings.data_dir / INDEX,
        fields=Fields(settings.fields),
        fusion=settings.fusion,
        embedder_name=embedder.name,
        dimension=embedder.dimension,
    )


@asynccontextmanager
async def _open_present(settings: Settings, readers: Opened, seen: Observation) -> AsyncIterator[Generation]:
    """The generation of the index that the data folder has."""
    async with AsyncExitStack() as held:
        store = await held.enter_async_context(_open_store(settings, readers[0]))
        async with open_generation(readers, store, held.aclose, settings, seen) as generation:
            yield generation


def _writing(
    hearing: Callable[[PassageStore], PassageStore], seen: Observation, generation: Generation, config: IngestConfig
) -> tuple[Indexer, PassageStore]:
    """How documents get into a generation, so that those who need to know hear of it."""
    store = hearing(generation.traced)
    return seen.indexer(generation.embedder, store, generation.tokenizer, config), store


@asynccontextmanager
async def _open_readers(settings: Settings, seen: Observation) -> AsyncIterator[_Readers]:
    """The models that read, and the tokenizer that measures for them."""
    folder = settings.models_dir
    async with (
        open_embedder(settings.embedder, folder, seen.batch) as (embedder, tokenizer),
        open_reranker(settings.reranker, folder, seen.batch) as reranker,
    ):
        yield seen.embedder(embedder, settings.embedder), tokenizer, seen.reranker(reranker, settings.reranker)


def _counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """Remembers a few counts: the system part of every prompt is the same."""
    return lru_cache(maxsize=8)(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))
