"""The answer cache as one: its memory opened, put around the recipe, and told of every write."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from cache.config import NoCacheConfig
from cache.factory import open_memory
from cache.forgetting import ForgettingStore
from cache.replies import Replies
from llm.prices import cost_microusd
from llm.registry import ModelRegistry
from rag.base.answers import Answer, Recall
from rag.base.ids import digest
from rag.base.ports import Answers, PassageStore
from rag.base.types import Usage
from rag.index.config import EdgeConfig
from rag.pipeline.answer import Answerer
from rag.pipeline.cache_desk import CacheDesk
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.shared import SharedAnswerer
from rag.settings import EXCHANGEABLE, Settings

_NO_PART_OF_ANSWERS = frozenset(
    {"data_dir", "prompts_dir", "server", "auth", "accounts", "ledger", "limits", "cache", "ingest", "queue"}
    | {"records", "request_log", "tracing", "logs"}
)


class Remembering(Struct, frozen=True):
    """The recipe with its memory, the desk to ask it at, and what goes around a store so that it hears of changes.

    `replies` are those of models that the gateway asks.
    """

    answers: Answers
    desk: CacheDesk | None
    replies: Replies | None
    hearing: Callable[[PassageStore], PassageStore]


@asynccontextmanager
async def open_remembering(
    recipe: Answerer,
    models: ModelRegistry,
    epoch: Callable[[], int],
    settings: Settings,
    told: Callable[[Recall], None],
) -> AsyncIterator[Remembering]:
    """Around the recipe what `cache` asks for; without a cache equal questions in flight are still answered once.

    `epoch` grows with every change of the index. With a Qdrant server, which other processes change unseen, every kept
    answer is held against a fresh search. `told` hears of requests of the gateway that could be answered from memory.
    """
    config = settings.cache
    if isinstance(config, NoCacheConfig):
        yield Remembering(SharedAnswerer(recipe), None, None, lambda store: store)
        return
    build = Build(settings, models)
    tells = isinstance(settings.index, EdgeConfig)
    async with open_memory(config, settings.data_dir, build()) as remembered:
        answers = CachedAnswerer(
            recipe,
            remembered,
            config,
            epoch=lambda: epoch() if tells else None,
            build=build,
            price=lambda answer: price_of(models, answer),
        )
        replies = Replies(config, build=build, price=partial(cost_usd, models), told=told)
        desk = CacheDesk(recipe, remembered, replies, config, build)
        yield Remembering(answers, desk, replies, lambda store: ForgettingStore(store, remembered.forget))


class Build:
    """Stands for all that makes answers: those of another version, other settings or other models are never found."""

    def __init__(self, settings: Settings, models: ModelRegistry) -> None:
        parts = sorted({*Settings.__struct_fields__} - _NO_PART_OF_ANSWERS - {*EXCHANGEABLE})
        self._fixed = digest(version("groundwire"), *parts, *(_written(getattr(settings, name)) for name in parts))
        self._models = models
        self._seen: object = None
        self._name = ""

    def __call__(self) -> str:
        """The present one; models and routes may be exchanged while the server runs."""
        catalogue = self._models.catalogue
        if catalogue is not self._seen:
            self._seen, self._name = catalogue, digest(self._fixed, _written(catalogue))
        return self._name


def price_of(models: ModelRegistry, answer: Answer) -> float | None:
    """What the answer's model call cost in dollars; None where the model's price is not known."""
    if not answer.usage.input_tokens and not answer.usage.output_tokens:
        return 0.0
    return cost_usd(models, answer.lineage.model, answer.usage)


def cost_usd(models: ModelRegistry, model: str, usage: Usage) -> float | None:
    """What a call of a model cost in dollars; None where its price is not known."""
    price = next((target.price for target in models.targets.values() if target.model == model), None)
    return cost_microusd(price, usage) / 1e6 if price else None


def _written(part: Any) -> str:
    return msgspec.json.encode(part, enc_hook=str, order="sorted").decode()
