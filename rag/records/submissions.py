"""Documents that were handed in: what is to be indexed, how far it came, and why it failed. One row per document.

A row is the truth about a submission and a queue only says when to look at it: so a queue may lose or repeat what it
was told, and nothing is lost or done twice. A new submission of a document takes the place of the one before.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from rag.records.connection import Connection, Row

Lane = Literal["upload", "backfill"]
State = Literal["queued", "parsing", "embedding", "indexed", "searchable", "failed"]
"""A document is read, embedded and stored, and "searchable" once it was read back. Only the last two are ends."""

ENDS = ("searchable", "failed")
_OPEN = "state NOT IN ('searchable', 'failed')"
_COLUMNS = "id, tenant, document_id, uri, digest, lane, acl, grants, state, attempts, reason, transient, outcome"
_TIMES = "submitted_s, changed_s"


class Submission(Struct, frozen=True, kw_only=True):
    """One document that was handed in; its body is read apart.

    `grants` are those of who handed it in, None for one who manages the tenant. `transient`: it may work another time.
    """

    id: str
    tenant: str
    document_id: str
    uri: str
    digest: str
    lane: Lane
    acl: tuple[str, ...]
    grants: tuple[str, ...] | None
    state: State = "queued"
    attempts: int = 0
    reason: str = ""
    transient: bool = False
    outcome: str | None = None
    submitted_s: float
    changed_s: float

    @property
    def is_open(self) -> bool:
        """Whether a worker is still to end it."""
        return self.state not in ENDS

    def stands_for(self, other: "Submission") -> bool:
        """Whether to index this one is to index the other, and no later."""
        return self.is_same(other) and (self.lane == "upload" or other.lane == "backfill")

    def is_same(self, other: "Submission") -> bool:
        """Whether the same was handed in, by who may see the same."""
        return (self.digest, self.grants) == (other.digest, other.grants)


class Backlog(Struct, frozen=True, kw_only=True):
    """How many open submissions come before one, and how many ended within the last minute."""

    n_before: int
    n_ended: int


def submit(connection: Connection, submission: Submission, body: bytes) -> Submission:
    """Stores the submission in place of an earlier one, and gives the one that stands.

    That is the earlier one where it is open, the same was handed in by who may see the same, and it comes as soon.
    """
    known = of_document(connection, submission.tenant, submission.document_id)
    if known and known.is_open and known.stands_for(submission):
        return known
    row = {
        **msgspec.to_builtins(submission),
        "acl": msgspec.json.encode(submission.acl).decode(),
        "grants": None if submission.grants is None else msgspec.json.encode(submission.grants).decode(),
        "transient": int(submission.transient),
        "body": body,
        "offered_s": submission.submitted_s,
    }
    names = ("tenant", "document_id", *(name for name in row if name not in {"tenant", "document_id"}))
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    connection.change(
        f"INSERT INTO submissions ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608 - the names are ours
        f" ON CONFLICT (tenant, document_id) DO UPDATE SET {changes}",
        row,
    )
    return submission


def of_document(connection: Connection, tenant: str, document_id: str) -> Submission | None:
    """What is known of the document."""
    where = "tenant = :tenant AND document_id = :document_id"
    found = _read(connection, where, {"tenant": tenant, "document_id": document_id})
    return found[0] if found else None


def find(connection: Connection, identifier: str) -> Submission | None:
    """The submission of that id, unless another took its place."""
    found = _read(connection, "id = :id", {"id": identifier})
    return found[0] if found else None


def body_of(connection: Connection, identifier: str) -> bytes:
    """What was handed in; nothing once it is indexed."""
    rows = connection.execute("SELECT body FROM submissions WHERE id = :id", {"id": identifier})
    return bytes(rows[0]["body"] or b"") if rows else b""


def begin(connection: Connection, identifier: str, state: State, now_s: float) -> Submission | None:
    """Notes one more attempt; None where there is nothing to do any more."""
    row: Row = {"id": identifier, "state": state, "now_s": now_s}
    n_changed = connection.change(
        f"UPDATE submissions SET attempts = attempts + 1, state = :state, changed_s = :now_s WHERE id = :id AND {_OPEN}",  # noqa: S608, E501 - a constant
        row,
    )
    return find(connection, identifier) if n_changed else None


def advance(connection: Connection, identifier: str, state: State, now_s: float, outcome: str | None = None) -> None:
    """Notes how far it came. What is searchable needs its body no more."""
    connection.change(
        "UPDATE submissions SET state = :state, changed_s = :now_s, reason = '', outcome = coalesce(:outcome, outcome),"
        " body = CASE WHEN :state = 'searchable' THEN NULL ELSE body END WHERE id = :id",
        {"id": identifier, "state": state, "now_s": now_s, "outcome": outcome},
    )


def put_off(connection: Connection, identifier: str, reason: str, now_s: float, *, counts: bool) -> None:
    """Notes why an attempt ended, and that there will be another. One that does not count was not the document's."""
    connection.change(
        f"UPDATE submissions SET state = 'queued', reason = :reason, transient = 1, changed_s = :now_s,"  # noqa: S608 - a constant
        f" attempts = attempts - :forgiven WHERE id = :id AND {_OPEN}",
        dict[str, Any](id=identifier, reason=reason, now_s=now_s, forgiven=int(not counts)),
    )


def fail(connection: Connection, identifier: str, reason: str, now_s: float, *, transient: bool) -> None:
    """Ends it. It keeps its body, so that it can be tried again."""
    connection.change(
        f"UPDATE submissions SET state = 'failed', reason = :reason, transient = :transient, changed_s = :now_s"  # noqa: S608 - a constant
        f" WHERE id = :id AND {_OPEN}",
        dict[str, Any](id=identifier, reason=reason, transient=int(transient), now_s=now_s),
    )


def withdraw(connection: Connection, tenant: str, document_ids: tuple[str, ...] | None) -> int:
    """Forgets the submissions of those documents, or of all of the tenant; a worker that has one stores it not."""
    if document_ids is None:
        return connection.change("DELETE FROM submissions WHERE tenant = :tenant", {"tenant": tenant})
    rows: list[Row] = [{"tenant": tenant, "document_id": each} for each in document_ids]
    return connection.change("DELETE FROM submissions WHERE tenant = :tenant AND document_id = :document_id", rows)


def failed(connection: Connection, tenant: str) -> list[Submission]:
    """The dead letters of a tenant, by uri."""
    return _read(connection, "tenant = :tenant AND state = 'failed' ORDER BY uri", {"tenant": tenant})


def revive(connection: Connection, identifiers: list[str], now_s: float) -> None:
    """Has failed ones tried again, from the first attempt on. They still have to be offered."""
    connection.change(
        "UPDATE submissions SET state = 'queued', attempts = 0, offered_s = 0, changed_s = :now_s"
        " WHERE id = :id AND state = 'failed'",
        [{"id": identifier, "now_s": now_s} for identifier in identifiers],
    )


def to_offer(connection: Connection, before_s: float, now_s: float, limit: int) -> list[Submission]:
    """Open ones of which the queue was last told before a time: it may have lost them. They count as told of now."""
    found = _read(
        connection,
        f"offered_s < :before_s AND {_OPEN} ORDER BY submitted_s LIMIT :limit",
        {"before_s": before_s, "limit": limit},
    )
    if found:
        rows: list[Row] = [{"id": each.id, "now_s": now_s} for each in found]
        connection.change("UPDATE submissions SET offered_s = :now_s WHERE id = :id", rows)
    return found


def backlog(connection: Connection, submission: Submission, now_s: float) -> Backlog:
    """What lies before it in its lane, and how fast things go."""
    place: Row = {"lane": submission.lane, "submitted_s": submission.submitted_s}
    before = connection.execute(
        f"SELECT count(*) AS n FROM submissions WHERE {_OPEN} AND lane = :lane AND submitted_s < :submitted_s",  # noqa: S608 - a constant
        place,
    )
    ended = connection.execute(
        "SELECT count(*) AS n FROM submissions WHERE changed_s > :since_s AND state = 'searchable' AND lane = :lane",
        {"since_s": now_s - 60.0, "lane": submission.lane},
    )
    return Backlog(n_before=before[0]["n"], n_ended=ended[0]["n"])


def forget(connection: Connection, before_s: float) -> int:
    """Drops what was indexed before a time: from then on the store alone tells of it."""
    return connection.change(
        "DELETE FROM submissions WHERE state = 'searchable' AND changed_s < :before_s", {"before_s": before_s}
    )


def _read(connection: Connection, where: str, values: Row) -> list[Submission]:
    rows = connection.execute(f"SELECT {_COLUMNS}, {_TIMES} FROM submissions WHERE {where}", values)  # noqa: S608 - constants
    return [_submission(row) for row in rows]


def _submission(row: Row) -> Submission:
    lists = {name: None if row[name] is None else msgspec.json.decode(row[name]) for name in ("acl", "grants")}
    return msgspec.convert({**row, **lists, "transient": bool(row["transient"])}, Submission)
