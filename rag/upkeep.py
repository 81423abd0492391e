"""Building the embedded index anew by itself, once what was written to a running server has made it slow and large.

What is added to it is compared with every question one by one, and what is replaced or deleted keeps its place in
memory and on disk, until the index is built anew. That happens beside it, with the vectors that are there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec.structs import replace

from rag.base.errors import Conflict, GroundwireError, for_the_log
from rag.succession import Succession, Wish

EVERY_S: Final = 60.0
"""Between two looks. Who has written since the one before is left to finish, as long as it is not too much."""

PATIENCE: Final = 4
"""So many times the wear that makes it pay, and nobody is waited for any more."""

RESTS_AFTER_FAILURE: Final = 30
"""Looks, so that a full disk is not in the log every minute, and who stopped it has not done so in vain."""

_log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class Upkeep:
    """Looks after the index of a succession."""

    def __init__(self, succession: Succession, after_chunks: int, sleep: Sleep = asyncio.sleep) -> None:
        self._succession = succession
        self._after_chunks = after_chunks
        self._sleep = sleep
        self._n_left_over = 0
        """Chunks that are compared one by one in an index that was just built: where there are few, that is faster."""

    async def watch(self) -> None:
        """Looks again and again, until it is cancelled."""
        epoch, n_rests = -1, 0
        while True:
            await self._sleep(EVERY_S)
            is_quiet, epoch = epoch == self._succession.present.store.epoch, self._succession.present.store.epoch
            n_rests = max(0, n_rests - 1)
            if not n_rests and await self._is_due(is_quiet=is_quiet) and not await self._renewed():
                n_rests = RESTS_AFTER_FAILURE

    async def _is_due(self, *, is_quiet: bool) -> bool:
        try:
            wear = await self._succession.present.store.wear()
        except GroundwireError as error:
            _log.warning("how worn the index is cannot be told: %s", for_the_log(error))
            return False
        wear = replace(wear, n_one_by_one=wear.n_one_by_one - self._n_left_over)
        return wear.pays(self._after_chunks * (1 if is_quiet else PATIENCE))

    async def _renewed(self) -> bool:
        _log.info("the index is built anew, with the vectors that are there: it is slower than it need be")
        settings = self._succession.settings
        with suppress(Conflict):  # somebody has it built anew already
            self._succession.start(Wish(settings=settings, opens_embedder=False, keeps_previous=False))
        standing = await self._succession.ended()
        if standing.state != "done":
            return False
        with suppress(GroundwireError):
            self._n_left_over = (await self._succession.present.store.wear()).n_one_by_one
        return True


@asynccontextmanager
async def upkeep(succession: Succession, after_chunks: int) -> AsyncIterator[None]:
    """While open, the index is looked after."""
    task = asyncio.create_task(Upkeep(succession, after_chunks).watch(), name="upkeep")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
