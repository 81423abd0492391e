"""What a worker does with a submission: takes it, has it indexed, and notes what became of it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from ingest.embed import Sleep
from ingest.library import Library
from ingest.outcome import Outcome
from ingest.queue.config import WorkConfig
from ingest.queue.handed import unpacked
from ingest.queue.lease import Lease, leasing
from rag.base.deadline import Clock, Deadline
from rag.base.errors import DependencyError, GroundwireError, LoadError, TransientIngestError, Unavailable
from rag.base.types import Access, Work
from rag.govern.access import managed_in
from rag.records import submissions
from rag.records.database import Database
from rag.records.submissions import State, Submission

Beat = Callable[[], Awaitable[None]]
"""Tells the queue that the worker is still at it."""

_log = logging.getLogger(__name__)


class TryAgain(TransientIngestError):
    """This attempt came to nothing; there is to be another after a pause."""


class IndexingTask:
    """Indexes submissions, each by one worker at a time, however often and to however many it is offered.

    Documents that hold the same are not indexed at the same time either, so that one of them becomes the original.
    """

    def __init__(
        self,
        library: Library,
        database: Database,
        config: WorkConfig,
        *,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._library = library
        self._database = database
        self._config = config
        self._clock = clock
        self._sleep = sleep

    async def __call__(self, identifier: str, beat: Beat) -> None:
        """Returns when the submission is at its end. Raises TryAgain, and Unavailable while the records are away."""
        submission = await self._database.run(partial(submissions.find, identifier=identifier))
        if submission is None or not submission.is_open:
            return
        try:
            async with leasing(
                self._database, self._config.lease_s, beat, clock=self._clock, sleep=self._sleep
            ) as lease:
                await lease.take(f"document:{submission.document_id}")
                await self._attempt(identifier, lease)
        except TransientIngestError as error:
            raise TryAgain(str(error)) from None  # a queue keeps what it is told, so nothing else is told

    async def _attempt(self, identifier: str, lease: Lease) -> None:
        work = partial(submissions.begin, identifier=identifier, state="parsing", now_s=self._clock())
        submission = await self._database.run(work)
        if submission is None:
            return
        if submission.attempts > self._config.attempts:
            await self._fail(submission, "each attempt ended its worker", transient=False)
            return
        try:
            outcome = await self._index(submission, lease)
        except GroundwireError as error:
            await self._ended_by(submission, error)
        else:
            await self._advance(submission, "searchable", outcome)

    async def _index(self, submission: Submission, lease: Lease) -> Outcome:
        draft = unpacked(await self._database.run(partial(submissions.body_of, identifier=submission.id)))
        tenant = submission.tenant
        document = self._library.indexer.document(draft, tenant)
        present = await self._library.get(managed_in(tenant), document.id)
        contents = {document.content_hash} | ({present.content_hash} if present else set())
        await lease.take(*(f"content:{tenant}:{content}" for content in contents))
        await self._advance(submission, "embedding")
        grants = submission.grants
        access = Access(tenant=tenant, grants=None if grants is None else frozenset(grants))
        work = Work(tenant=tenant, deadline=Deadline.after(self._config.timeout_s), lane="bulk")
        outcome = await self._library.put(access, draft, work)
        if outcome.status != "skipped":
            await self._advance(submission, "indexed", outcome)
            await self._library.require_searchable(tenant, outcome, work)
        return outcome

    async def _ended_by(self, submission: Submission, error: GroundwireError) -> None:
        """Notes the failure. Raises TryAgain where there is to be another attempt."""
        is_away = isinstance(error, LoadError | Unavailable)
        is_transient = isinstance(error, TransientIngestError | DependencyError | LoadError)
        if not is_away and (not is_transient or submission.attempts >= self._config.attempts):
            await self._fail(submission, str(error), transient=is_transient)
            return
        note = partial(submissions.put_off, reason=str(error), now_s=self._clock(), counts=not is_away)
        await self._database.run(partial(note, identifier=submission.id))
        raise TryAgain(str(error)) from None

    async def _fail(self, submission: Submission, reason: str, *, transient: bool) -> None:
        _log.warning("document %s failed after %d attempts", submission.document_id, submission.attempts)
        note = partial(submissions.fail, reason=reason, now_s=self._clock(), transient=transient)
        await self._database.run(partial(note, identifier=submission.id))

    async def _advance(self, submission: Submission, state: State, outcome: Outcome | None = None) -> None:
        told = None if outcome is None else msgspec.json.encode(outcome).decode()
        note = partial(submissions.advance, state=state, now_s=self._clock(), outcome=told)
        await self._database.run(partial(note, identifier=submission.id))
