"""What a worker does besides: it offers again what the queue may have lost, and forgets what is long done."""

import asyncio
import logging
import time
from functools import partial
from typing import Final

from ingest.embed import Sleep
from ingest.queue.desk import Offer
from rag.base.deadline import Clock
from rag.base.errors import DependencyError
from rag.records import submissions
from rag.records.database import Database

ROUND_S: Final = 10.0
OFFER_AGAIN_S: Final = 300.0
"""After so long an open submission is offered anew: to a queue that still knows it that means nothing."""
KEEP_S: Final = 3600.0
"""How long can be asked what became of a submission that was indexed."""
_AT_ONCE: Final = 500

_log = logging.getLogger(__name__)


class Upkeep:
    """Rounds over the submissions; any number of workers may make them."""

    def __init__(
        self, database: Database, offer: Offer, *, clock: Clock = time.time, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._database = database
        self._offer = offer
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Makes rounds until it is cancelled."""
        while True:
            try:
                await self.once()
            except DependencyError as error:
                _log.warning("submissions are not looked after: %s", error)
            await self._sleep(ROUND_S)

    async def once(self) -> None:
        """One round. Raises Unavailable."""
        now_s = self._clock()
        due = partial(submissions.to_offer, before_s=now_s - OFFER_AGAIN_S, now_s=now_s, limit=_AT_ONCE)
        for submission in await self._database.run(due):
            await self._offer(submission.id, submission.lane)
        await self._database.run(partial(submissions.forget, before_s=now_s - KEEP_S))
