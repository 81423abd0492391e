"""Documents that are handed in for workers: what is answered at once, what is waited for, and what is told of them."""

from datetime import UTC, datetime
from http import HTTPStatus

from litestar import Response
from msgspec import Struct
from msgspec.structs import replace

from ingest.draft import Draft
from ingest.queue.desk import Desk, Standing, outcome_of
from rag.base.deadline import Deadline
from rag.base.errors import PermanentIngestError, TransientIngestError
from rag.base.titles import name_of
from rag.base.types import Access, DocumentRecord
from rag.records.submissions import Lane, Submission
from rag.serve.shelf import OutcomeBody, PendingBody, RecordBody, Told, Wait, outcome_body, record_body

_REACHED: dict[Wait, tuple[str, ...]] = {"indexed": ("indexed", "searchable"), "searchable": ("searchable",)}


class Until(Struct, frozen=True):
    """What is waited for, until when, and how what became of it is told."""

    state: Wait
    deadline: Deadline
    told: Told


async def hand_in(desk: Desk, access: Access, draft: Draft, lane: Lane, until: Until | None) -> Response[OutcomeBody]:
    """202 with what was accepted; where it is to be waited for, 200 with what became of it in time.

    Raises IngestError when it failed, and as `Desk.hand_in` and `Desk.wait` do.
    """
    submission = await desk.hand_in(access, draft, lane)
    if until is None:
        return Response(_accepted(submission), status_code=HTTPStatus.ACCEPTED)
    state = until.state
    submission = await desk.wait(submission, _REACHED[state], until.deadline)
    if submission.state == "failed":
        raise (TransientIngestError if submission.transient else PermanentIngestError)(submission.reason)
    outcome = outcome_of(submission)
    if outcome is None or submission.state not in _REACHED[state]:
        return Response(_accepted(submission), status_code=HTTPStatus.ACCEPTED)
    return Response(outcome_body(until.told(outcome), "skipped" if outcome.status == "skipped" else state))


async def told_of(desk: Desk, record: DocumentRecord | None, submission: Submission) -> RecordBody:
    """What the store has of a document, which may be an earlier version or nothing, and where the latest one stands."""
    body = record_body(record) if record else _expected(submission)
    if submission.state == "searchable":
        return replace(body, state="searchable")
    return replace(body, state=submission.state, pending=_pending(await desk.standing(submission)))


def _accepted(submission: Submission) -> OutcomeBody:
    return OutcomeBody(
        id=submission.document_id,
        uri=submission.uri,
        version="",
        status="accepted",
        n_chunks=0,
        n_tokens=0,
        near_duplicate_of=None,
        state=submission.state,
    )


def _expected(submission: Submission) -> RecordBody:
    return RecordBody(
        id=submission.document_id,
        uri=submission.uri,
        title=name_of(submission.uri),
        version="",
        format="",
        updated_at=datetime.fromtimestamp(submission.submitted_s, UTC),
        acl=submission.acl,
        metadata={},
        n_chunks=0,
        n_chars=0,
        duplicate_of=None,
        near_duplicate_of=None,
    )


def _pending(standing: Standing) -> PendingBody:
    submission = standing.submission
    return PendingBody(
        submitted_at=datetime.fromtimestamp(submission.submitted_s, UTC),
        attempts=submission.attempts,
        reason=submission.reason,
        may_work_later=submission.transient,
        eta_s=standing.eta_s,
    )
