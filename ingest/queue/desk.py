"""Where documents are handed in to be indexed by workers, and asked about."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from ingest.draft import Draft
from ingest.embed import Sleep
from ingest.library import Library
from ingest.outcome import Outcome
from ingest.queue.handed import fingerprint, packed
from rag.base.deadline import Clock, Deadline
from rag.base.errors import Conflict, Forbidden, Unavailable
from rag.base.ids import document_id, ordered_id
from rag.base.types import Access
from rag.govern.access import managed_in, permits
from rag.records import leases, submissions
from rag.records.database import Database
from rag.records.submissions import Lane, Submission

Offer = Callable[[str, Lane], Awaitable[None]]
"""Tells the workers of a submission; to tell them twice does no harm. Raises Unavailable."""

FIRST_LOOK_S: Final = 0.02
LAST_LOOK_S: Final = 0.5
"""Who waits for a worker looks at once, and then less and less often."""
_PER_MINUTE: Final = 60.0

_log = logging.getLogger(__name__)


class Standing(Struct, frozen=True, kw_only=True):
    """A submission, and in how many seconds it is likely to be done; None where nothing was done of late."""

    submission: Submission
    eta_s: float | None


class Desk:
    """Takes documents for workers. What it has taken is neither lost nor done twice, whoever dies in between."""

    def __init__(
        self,
        library: Library,
        database: Database,
        offer: Offer,
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._library = library
        self._database = database
        self._offer = offer
        self._clock = clock
        self._sleep = sleep

    async def hand_in(self, access: Access, draft: Draft, lane: Lane) -> Submission:
        """The submission that stands for it from now on; the same that still waits is not taken twice.

        It fails later where its uri is that of a document which `access` does not cover. Raises Unavailable.
        """
        tenant, body = access.tenant, packed(draft)
        now_s = self._clock()
        submission = Submission(
            id=ordered_id(),
            tenant=tenant,
            document_id=document_id(tenant, draft.uri),
            uri=draft.uri,
            digest=fingerprint(body),
            lane=lane,
            acl=draft.acl,
            grants=None if access.grants is None else tuple(sorted(access.grants)),
            submitted_s=now_s,
            changed_s=now_s,
        )
        kept = await self._database.run(partial(submissions.submit, submission=submission, body=body))
        try:
            await self._offer(kept.id, kept.lane)
        except Unavailable:
            _log.warning("the queue is away; submission %s is offered again later", kept.id)
        return kept

    async def readers_of(self, access: Access, uri: str) -> tuple[str, ...] | None:
        """The acl of the document at `uri` as it was last handed in or is stored; None where there is none.

        Raises Forbidden when `access` does not cover that document.
        """
        identifier, tenant = document_id(access.tenant, uri), access.tenant
        look = partial(submissions.of_document, tenant=tenant, document_id=identifier)
        found = await self._database.run(look) or await self._library.get(managed_in(tenant), identifier)
        if found and not permits(access, tenant, found.acl):
            raise Forbidden("this uri is taken by a document that your key may not see; use another uri or key")
        return found.acl if found else None

    async def of(self, access: Access, document: str) -> Submission | None:
        """What is known of a document that was handed in, where `access` covers it."""
        look = partial(submissions.of_document, tenant=access.tenant, document_id=document)
        found = await self._database.run(look)
        return found if found and permits(access, found.tenant, found.acl) else None

    async def standing(self, submission: Submission) -> Standing:
        """The submission with an estimate of when it is done: by its place in the line and the last minute's pace."""
        if not submission.is_open:
            return Standing(submission=submission, eta_s=None)
        look = partial(submissions.backlog, submission=submission, now_s=self._clock())
        line = await self._database.run(look)
        eta_s = _PER_MINUTE * (line.n_before + 1) / line.n_ended if line.n_ended else None
        return Standing(submission=submission, eta_s=eta_s)

    async def wait(self, submission: Submission, states: Sequence[str], deadline: Deadline) -> Submission:
        """The submission once it is in one of the states or failed, or as it is at the deadline.

        One of the same that was handed in later stands for it too. Raises Conflict when another version took its place
        or it was withdrawn.
        """
        look = partial(submissions.of_document, tenant=submission.tenant, document_id=submission.document_id)
        pause_s = FIRST_LOOK_S
        while True:
            found = await self._database.run(look)
            if found is None or not found.is_same(submission):
                raise Conflict("another version was handed in or the document deleted before it was indexed")
            remaining_s = deadline.remaining_s()
            if found.state in (*states, "failed") or remaining_s <= 0:
                return found
            await self._sleep(min(pause_s, remaining_s))
            pause_s = min(2 * pause_s, LAST_LOOK_S)

    async def withdraw(self, tenant: str, document: str, deadline: Deadline) -> bool:
        """Forgets what was handed in of a document, and returns once no worker has it in hand: then it can be deleted.

        Whether there was anything. Raises Conflict at the deadline.
        """
        withdrawing = partial(submissions.withdraw, tenant=tenant, document_ids=(document,))
        n_withdrawn = await self._database.run(withdrawing)
        while await self._is_in_hand(document):
            if deadline.remaining_s() <= 0:
                raise Conflict("a worker is indexing this document; ask again when it has ended")
            await self._sleep(FIRST_LOOK_S)
        return n_withdrawn > 0

    async def withdraw_all(self, tenant: str) -> None:
        """Forgets all that was handed in for a tenant. What workers have in hand is stored nevertheless."""
        await self._database.run(partial(submissions.withdraw, tenant=tenant, document_ids=None))

    async def _is_in_hand(self, document: str) -> bool:
        held = partial(leases.is_held, name=f"document:{document}", now_s=self._clock())
        return await self._database.run(held)


def outcome_of(submission: Submission) -> Outcome | None:
    """What became of it, once it is indexed."""
    return None if submission.outcome is None else msgspec.json.decode(submission.outcome, type=Outcome)
