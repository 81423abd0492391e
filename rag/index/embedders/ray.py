"""One model in many processes: an embedder whose texts are shared out to actors of a Ray cluster.

A vector does not depend on which of them made it. What an actor had in hand when its process or its machine was lost
goes to another; the pool does not grow again in one run.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError, DeadlineExceeded, GroundwireError, Unavailable
from rag.base.ports import Embedder, Vectors
from rag.base.types import Role, Work
from rag.index.embedders.config import EmbedderConfig, HttpEmbedderConfig, OnnxEmbedderConfig
from rag.index.embedders.factory import Opened, open_embedder

REACHED_WITHIN_S: Final = 5.0


class Reader:
    """An actor: an embedder of its own, opened with its first batch."""

    def __init__(self, config: EmbedderConfig, models_dir: Path) -> None:
        self._config = config
        self._models_dir = models_dir
        self._opening = asyncio.Lock()
        self._held = AsyncExitStack()  # never left: the process ends with the actor
        self._embedder: Embedder | None = None

    async def embed(self, texts: Sequence[str], role: Role, tenant: str, within_s: float) -> Vectors:
        """The vectors of the texts, in order."""
        embedder = await self._opened()
        return await embedder.embed(texts, role, Work(tenant=tenant, deadline=Deadline.after(within_s), lane="bulk"))

    async def _opened(self) -> Embedder:
        async with self._opening:
            if self._embedder is not None:
                return self._embedder
            opened = open_embedder(self._config, self._models_dir)
            self._embedder = embedder = (await self._held.enter_async_context(opened))[0]
            return embedder


class RayEmbedder:
    """The embedder port over a pool of actors; what a model is called and how long its texts are, `own` knows."""

    def __init__(self, own: Embedder, actors: Sequence[Any]) -> None:
        self._actors = list(actors)
        self.name = own.name
        self.dimension = own.dimension
        self.max_length_tokens = own.max_length_tokens

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        """As the port says, every actor a share of the texts; that of one that was lost goes to another."""
        size = max(1, -(-len(texts) // max(1, len(self._actors))))
        shares = [texts[at : at + size] for at in range(0, len(texts), size)]
        rows = await asyncio.gather(*(self._share(share, number, role, work) for number, share in enumerate(shares)))
        return np.concatenate(rows) if rows else np.empty((0, self.dimension), np.float32)

    async def _share(self, texts: Sequence[str], number: int, role: Role, work: Work) -> Vectors:
        while self._actors:
            actor = self._actors[number % len(self._actors)]
            try:
                return await _asked(actor, texts, role, work)
            except ray.exceptions.RayActorError:
                if actor in self._actors:  # another share may have found out before
                    self._actors.remove(actor)
        raise Unavailable("every process of the Ray cluster that embedded was lost; run this again to go on")


async def _asked(actor: Any, texts: Sequence[str], role: Role, work: Work) -> Vectors:
    left_s = work.deadline.remaining_s()
    try:
        async with asyncio.timeout(left_s):
            found: Vectors = await actor.embed.remote(list(texts), role, work.tenant, left_s)
    except TimeoutError as error:
        raise DeadlineExceeded("the Ray cluster did not embed this in time") from error
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, GroundwireError):
            raise error.cause from None
        raise Unavailable(f"embedding on the Ray cluster failed with {type(error.cause).__name__}") from error
    return found


@asynccontextmanager
async def open_pool(config: EmbedderConfig, models_dir: Path) -> AsyncIterator[Opened]:
    """The embedder of the settings in as many actors as the cluster has room for: one for each GPU, else for each core.

    The cluster is the one that RAY_ADDRESS names, else this machine. Raises ConfigError, Unavailable.
    """
    if isinstance(config, HttpEmbedderConfig):
        raise ConfigError(
            "--engine ray shares out models that run here; this embedder is a server", path="embedder.kind"
        )
    async with open_embedder(config, models_dir) as (own, tokenizer):
        joins = not ray.is_initialized()
        if joins:
            await _join(os.environ.get("RAY_ADDRESS"))
        actors = _actors(config, models_dir)
        try:
            yield RayEmbedder(own, actors), tokenizer
        finally:
            for actor in actors:
                ray.kill(actor)
            if joins:
                await asyncio.to_thread(ray.shutdown)


async def _join(address: str | None) -> None:
    """Becomes part of that cluster, or makes one of this machine."""
    own: dict[str, Any] = {"include_dashboard": False} if address is None else {}
    if address and ":" in address:
        await _require_reachable(address)
    await asyncio.to_thread(ray.init, log_to_driver=False, logging_level="error", **own)


async def _require_reachable(address: str) -> None:
    """Raises Unavailable where nothing listens: Ray itself would go on trying, and could not be interrupted."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        async with asyncio.timeout(REACHED_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:  # TimeoutError is one
        raise Unavailable(f"no Ray cluster can be reached at RAY_ADDRESS={address}") from error
    writer.close()


def _actors(config: EmbedderConfig, models_dir: Path) -> list[Any]:
    room = ray.cluster_resources()
    n_gpus = int(room.get("GPU", 0))
    wants = {"num_cpus": 0, "num_gpus": 1} if n_gpus and not isinstance(config, OnnxEmbedderConfig) else {"num_cpus": 1}
    if isinstance(config, OnnxEmbedderConfig):
        config = replace(config, n_sessions=1)
    n_actors = n_gpus if "num_gpus" in wants else max(1, int(room.get("CPU", 1)))
    kind: Any = ray.remote(**wants)(Reader)
    return [kind.remote(config, models_dir) for _ in range(n_actors)]
