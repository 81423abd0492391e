"""One configuration as it is served, for as long as calls are out with it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

from msgspec import Struct

from llm.config import ModelConfig
from llm.factory import Cover
from llm.routing.config import RouteConfig, RoutingConfig
from llm.routing.router import Router
from llm.routing.target import Target
from rag.base.deadline import Deadline
from rag.base.events import close
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt

_log = logging.getLogger(__name__)


class Catalogue(Struct, frozen=True, kw_only=True):
    """What is to be served: the parts of the settings that can be exchanged."""

    models: Mapping[str, ModelConfig]
    routes: Mapping[str, RouteConfig] = {}
    routing: RoutingConfig = RoutingConfig()


class Opened:
    """A model with what keeps it open, and how many editions it is part of."""

    def __init__(self, config: ModelConfig, target: Target, stack: AsyncExitStack) -> None:
        self.config = config
        self.target = target
        self.n_editions = 0
        self._stack = stack

    async def leave(self) -> None:
        """One edition less; the last one closes it."""
        self.n_editions -= 1
        if not self.n_editions:
            await self._stack.aclose()


class Edition:
    """One configuration as it is served, and the calls that are out with it."""

    def __init__(
        self, catalogue: Catalogue, opened: Mapping[str, Opened], routers: Mapping[str, Router], cover: Cover
    ) -> None:
        self.catalogue = catalogue
        self.opened = opened
        self.routers = routers
        self.served = {name: _Served(cover(name, router), self) for name, router in routers.items()}
        self.n_calls = 0
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    def began(self) -> None:
        """A call goes out."""
        self.n_calls += 1
        self._is_quiet.clear()

    def ended(self) -> None:
        """A call is over."""
        self.n_calls -= 1
        if not self.n_calls:
            self._is_quiet.set()

    async def retire(self, grace_s: float) -> None:
        """Waits until nobody can have a use for it, and closes it."""
        await asyncio.sleep(grace_s)
        while self.n_calls:
            await self._is_quiet.wait()
        await self.close()

    async def close(self) -> None:
        """Closes, once, what no other edition has. One that fails to close does not keep the others open."""
        leaving, self.opened = self.opened, {}
        for name, opened in leaving.items():
            try:
                await opened.leave()
            except Exception:  # noqa: BLE001 - the seam: each may fail by itself
                _log.exception("the model '%s' was not closed properly", name)


class _Served:
    """A ChatModel that its edition knows to be in use while it streams."""

    def __init__(self, model: ChatModel, edition: Edition) -> None:
        self.name = model.name
        self._model = model
        self._edition = edition

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port."""
        self._edition.began()
        events = self._model.stream(prompt, deadline)
        try:
            async for event in events:
                yield event
        finally:
            await close(events)
            self._edition.ended()
