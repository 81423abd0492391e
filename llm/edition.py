"""One configuration as it is served, for as long as calls are out with it."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack

from msgspec import Struct

from llm.config import ModelConfig
from llm.routing.calls import Calls
from llm.routing.config import RouteConfig, RoutingConfig
from llm.routing.router import Router
from llm.routing.target import Target
from rag.base.ports import ChatModel
from rag.base.template import Template

_log = logging.getLogger(__name__)


class Catalogue(Struct, frozen=True, kw_only=True):
    """What is to be served: the parts of the settings that can be exchanged.

    `summary_prompts` has one for each route with a `summary`.
    """

    models: Mapping[str, ModelConfig]
    routes: Mapping[str, RouteConfig] = {}
    routing: RoutingConfig = RoutingConfig()
    summary_prompts: Mapping[str, Template] = {}


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
        self,
        catalogue: Catalogue,
        opened: Mapping[str, Opened],
        routers: Mapping[str, Router],
        served: Mapping[str, ChatModel],
        calls: Calls,
    ) -> None:
        self.catalogue = catalogue
        self.opened = opened
        self.routers = routers
        self.served = served
        self._calls = calls

    async def retire(self, grace_s: float) -> None:
        """Waits until nobody can have a use for it, and closes it."""
        await asyncio.sleep(grace_s)
        await self._calls.wait_over()
        await self.close()

    async def close(self) -> None:
        """Closes, once, what no other edition has. One that fails to close does not keep the others open."""
        leaving, self.opened = self.opened, {}
        for name, opened in leaving.items():
            try:
                await opened.leave()
            except Exception:  # noqa: BLE001 - the seam: each may fail by itself
                _log.exception("the model '%s' was not closed properly", name)
