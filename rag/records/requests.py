"""The request log as a table: one row for each request that ended."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from rag.base.ids import ordered_id
from rag.records.config import LogConfig
from rag.records.connection import Connection, Row, Value

JSON_COLUMNS = frozenset({"degraded", "stages_s", "lineage", "cited"})
LAST = "g"
"""Sorts after every id, which are hex digits."""

FIXED_BYTES = 200
"""What a row takes besides its texts, about."""


class RequestRecord(Struct, frozen=True, kw_only=True):
    """One request. `probability` is the chance that a request like this one had to be kept: weigh by its inverse.

    `question` and `answer` are there only where the settings say so, and redacted. `cited` holds document ids.
    """

    id: str = msgspec.field(default_factory=ordered_id)
    at_s: float = msgspec.field(default_factory=time.time)
    request_id: str
    trace_id: str | None = None
    tenant: str
    subject: str
    kind: str
    outcome: str
    error: str | None = None
    model: str | None = None
    cache: str | None = None
    stop_reason: str | None = None
    confidence: float | None = None
    top_score: float | None = None
    n_candidates: int = 0
    n_citations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    duration_s: float
    ttft_s: float | None = None
    degraded: tuple[str, ...] = ()
    stages_s: Mapping[str, float] = {}
    lineage: Mapping[str, str] | None = None
    cited: tuple[str, ...] = ()
    question: str | None = None
    answer: str | None = None
    probability: float = 1.0
    kept: bool = True


COLUMNS = (*RequestRecord.__struct_fields__, "n_bytes")
_JSON_AT = tuple(at for at, name in enumerate(COLUMNS) if name in JSON_COLUMNS)
_KEPT_AT = COLUMNS.index("kept")


def insert(connection: Connection, records: Iterable[RequestRecord]) -> None:
    """Stores the records."""
    connection.insert("requests", COLUMNS, [row_of(record) for record in records])


def latest(connection: Connection, limit: int, *, before: str = LAST) -> list[RequestRecord]:
    """The newest records with an id below `before`, newest first."""
    return _read(
        connection,
        "SELECT * FROM requests WHERE kept = 1 AND id < :id ORDER BY id DESC LIMIT :limit",
        {"id": before, "limit": limit},
    )


def following(connection: Connection, limit: int, *, after: str = "", since_s: float = 0.0) -> list[RequestRecord]:
    """The oldest records with an id above `after` that ended at `since_s` or later, oldest first."""
    return _read(
        connection,
        "SELECT * FROM requests WHERE kept = 1 AND id > :id AND at_s >= :since_s ORDER BY id LIMIT :limit",
        {"id": after, "since_s": since_s, "limit": limit},
    )


def find(connection: Connection, tenant: str, subject: str, request_id: str) -> RequestRecord | None:
    """The newest record of that user's under that name, which callers choose, kept for good or not."""
    found = _read(
        connection,
        "SELECT * FROM requests WHERE tenant = :tenant AND subject = :subject AND request_id = :request_id"
        " ORDER BY id DESC LIMIT 1",
        {"tenant": tenant, "subject": subject, "request_id": request_id},
    )
    return found[0] if found else None


def keep(connection: Connection, identifier: str) -> None:
    """Keeps a record whatever its sampling said; all of its kind are kept, so it stands for itself alone."""
    connection.change("UPDATE requests SET kept = 1, probability = 1.0 WHERE id = :id", {"id": identifier})


def erase(connection: Connection, tenant: str, subject: str) -> int:
    """Removes all records of one user, with their feedback, and says how many requests that were."""
    user = {"tenant": tenant, "subject": subject}
    connection.change("DELETE FROM feedback WHERE tenant = :tenant AND subject = :subject", user)
    return connection.change("DELETE FROM requests WHERE tenant = :tenant AND subject = :subject", user)


def prune(connection: Connection, config: LogConfig, now_s: float) -> int:
    """Removes what is too old, what sampling did not choose, and the oldest of what is too much; says how many."""
    n_gone = connection.change(
        "DELETE FROM requests WHERE at_s < :oldest OR (kept = 0 AND at_s < :window)",
        {"oldest": now_s - config.max_age_s, "window": now_s - config.feedback_window_s},
    )
    over = connection.execute(
        "SELECT MAX(id) AS id FROM (SELECT id, SUM(n_bytes) OVER (ORDER BY id DESC) AS total FROM requests) AS sizes"
        " WHERE total > :max_bytes",
        {"max_bytes": config.max_bytes},
    )[0]["id"]
    if over is not None:
        n_gone += connection.change("DELETE FROM requests WHERE id <= :id", {"id": over})
    return n_gone


def row_of(record: RequestRecord) -> list[Value]:
    """The record as the table has it, in the order of its `COLUMNS`."""
    row: list[Any] = [*astuple(record)]
    for at in _JSON_AT:
        row[at] = None if row[at] is None else msgspec.json.encode(row[at]).decode()
    row[_KEPT_AT] = int(record.kept)
    texts = "".join([value for value in row if isinstance(value, str)])
    return [*row, FIXED_BYTES + len(texts.encode())]


def record_of(row: Row) -> RequestRecord:
    """A row of the table as a record."""
    parsed = {name: msgspec.json.decode(row[name]) for name in JSON_COLUMNS if row[name] is not None}
    return msgspec.convert({**row, **parsed, "kept": bool(row["kept"])}, RequestRecord)


def _read(connection: Connection, sql: str, values: Mapping[str, Value]) -> list[RequestRecord]:
    return [record_of(row) for row in connection.execute(sql, values)]
