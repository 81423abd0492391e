"""The models that are served, by name, and their exchange while they are in use.

A new configuration takes the place of the old one in one step. A call that is out goes on with what it began with, and
what only old calls use is closed when the last of them has ended. A model whose configuration has not changed stays as
it is, with its connections and all that is known of its health.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import blake2b
from typing import Final

import msgspec

from llm.edition import Catalogue, Edition, Opened
from llm.factory import Parts, open_target
from llm.routing.attempt import Instruments
from llm.routing.calls import Calls
from llm.routing.config import RouteConfig, TargetConfig
from llm.routing.decision import Decision
from llm.routing.pacing import RetryPurse
from llm.routing.plan import plan_of
from llm.routing.report import OnAttempt
from llm.routing.request import MAX_WAITING, Route
from llm.routing.router import Router
from llm.routing.summarised import SummarisedRoute
from llm.routing.summariser import Summariser, SummaryMemory
from llm.routing.target import Target
from rag.base.errors import NotFound
from rag.base.ports import ChatModel
from rag.base.types import Prompt

GRACE_S: Final = 60.0  # who looked a model up before the exchange may begin its call so much later


class ModelRegistry(Mapping[str, ChatModel]):
    """Models and routes by name, always of one configuration. Not for several event loops."""

    def __init__(self, parts: Parts, on_attempt: OnAttempt) -> None:
        self._parts = parts
        self._on_attempt = on_attempt
        self._edition = Edition(Catalogue(models={}), {}, {}, {}, Calls())
        self._summaries = SummaryMemory(parts.clock)
        self._exchanging = asyncio.Lock()
        self._retiring: dict[asyncio.Task[None], Edition] = {}

    def __getitem__(self, name: str) -> ChatModel:
        return self._edition.served[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._edition.served)

    def __len__(self) -> int:
        return len(self._edition.served)

    @property
    def catalogue(self) -> Catalogue:
        """What is served now."""
        return self._edition.catalogue

    @property
    def targets(self) -> Mapping[str, Target]:
        """The models with what is known of them."""
        return {name: opened.target for name, opened in self._edition.opened.items()}

    def explain(self, name: str, prompt: Prompt) -> Decision:
        """Who would be asked for the prompt now, and why. Raises NotFound."""
        router = self._edition.routers.get(name)
        if router is None:
            known = ", ".join(sorted(self._edition.routers))
            raise NotFound(f"there is no model or route '{name}'; there is: {known}")
        return router.explain(prompt)

    async def exchange(self, catalogue: Catalogue) -> None:
        """Serves `catalogue` from now on. Raises ConfigError, and then nothing has changed."""
        async with self._exchanging:
            old = self._edition
            kept = old.opened if catalogue.routing == old.catalogue.routing else {}
            opened = await self._opened(catalogue, kept)
            for one in opened.values():
                one.n_editions += 1
            calls = Calls()
            routers = self._routers(catalogue, opened, calls)
            self._edition = Edition(catalogue, opened, routers, self._served(catalogue, routers), calls)
            self._retire(old)

    async def aclose(self) -> None:
        """Closes everything, calls that are still out included."""
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for edition in (*retiring.values(), self._edition):
            await edition.close()

    def _retire(self, edition: Edition) -> None:
        task = asyncio.create_task(edition.retire(GRACE_S))
        self._retiring[task] = edition
        task.add_done_callback(self._retiring.pop)

    async def _opened(self, catalogue: Catalogue, kept: Mapping[str, "Opened"]) -> dict[str, "Opened"]:
        """The models that stay, and those that are new; the latter are closed again when one cannot be opened."""
        opened: dict[str, Opened] = {}
        async with AsyncExitStack() as undo:
            for name, config in catalogue.models.items():
                known = kept.get(name)
                if known is not None and known.config == config:
                    opened[name] = known
                    continue
                stack = AsyncExitStack()
                target = await stack.enter_async_context(open_target(name, config, self._parts, catalogue.routing))
                undo.push_async_callback(stack.aclose)
                opened[name] = Opened(config, target, stack)
            undo.pop_all()
        return opened

    def _routers(self, catalogue: Catalogue, opened: Mapping[str, "Opened"], calls: Calls) -> dict[str, Router]:
        """A router for each route, and one for each model by itself."""
        targets = {name: one.target for name, one in opened.items()}
        routes = {name: _alone(name) for name in targets} | dict(catalogue.routes)
        routing = catalogue.routing
        purse = RetryPurse(routing.retry_tokens, routing.retry_ratio)
        instruments = Instruments(
            clock=self._parts.clock,
            rng=self._parts.rng,
            on_attempt=self._on_attempt,
            slow_first_token_s=routing.slow_first_token_s,
        )

        def route(name: str, config: RouteConfig) -> Route:
            plan = plan_of(name, routes, targets)
            waiting = asyncio.Semaphore(MAX_WAITING)
            return Route(name=name, plan=plan, config=config, purse=purse, instruments=instruments, waiting=waiting)

        return {
            name: Router(route(name, config), _lineage(name, config, targets), calls) for name, config in routes.items()
        }

    def _served(self, catalogue: Catalogue, routers: Mapping[str, Router]) -> dict[str, ChatModel]:
        """The routers as they are asked by name."""
        served: dict[str, ChatModel] = dict(routers)
        for name, config in catalogue.routes.items():
            summary, history_tokens = config.summary, config.parameters.history_tokens
            if summary is not None and history_tokens is not None:
                model = self._parts.aside(summary.model, routers[summary.model])
                template = catalogue.summary_prompts[name]
                summariser = Summariser(model, template, summary, self._summaries, self._parts.clock)
                served[name] = SummarisedRoute(routers[name], summariser, history_tokens)
        return {name: self._parts.cover(name, model) for name, model in served.items()}


@asynccontextmanager
async def open_models(
    catalogue: Catalogue, parts: Parts, on_attempt: OnAttempt = lambda _: None
) -> AsyncIterator[ModelRegistry]:
    """The configured models and routes by name, open for as long as the context. Raises ConfigError."""
    registry = ModelRegistry(parts, on_attempt)
    await registry.exchange(catalogue)
    try:
        yield registry
    finally:
        await registry.aclose()


def _alone(name: str) -> RouteConfig:
    """What a model is asked by when it is asked by its own name: one retry, and little patience with its breaker."""
    return RouteConfig(targets=(TargetConfig(model=name),), max_attempts=2, max_wait_s=1.0)


def _lineage(name: str, config: RouteConfig, targets: Mapping[str, Target]) -> str:
    """What answers name as their origin, and caches go by: another one when the route leads elsewhere."""
    if name in targets:
        return targets[name].model
    models = [targets[target.model].model for target in config.targets]
    digest = blake2b(msgspec.json.encode((config, models)), digest_size=4).hexdigest()
    return f"route:{name}@{digest}"
