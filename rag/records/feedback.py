"""What readers thought of answers."""

import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rag.base.errors import NotFound
from rag.base.ids import ordered_id
from rag.base.types import Principal
from rag.records import requests
from rag.records.connection import Connection
from rag.records.database import Database
from rag.records.log import RequestLog

_TEXTS = ("comment", "correction")

Thumb = Literal["up", "down"]


class Feedback(Struct, frozen=True, kw_only=True):
    """One reader's word on one answer; `comment` and `correction` are redacted."""

    id: str = msgspec.field(default_factory=ordered_id)
    at_s: float = msgspec.field(default_factory=time.time)
    thumb: Thumb
    comment: str | None = None
    correction: str | None = None


class FeedbackBook:
    """Takes feedback on what the request log holds."""

    def __init__(self, database: Database, log: RequestLog, redact: Callable[[str], str]) -> None:
        self._database = database
        self._log = log
        self._redact = redact

    async def give(self, feedback: Feedback, principal: Principal, request_id: str) -> None:
        """Stores it, redacted. Raises NotFound, and Unavailable while the database is."""
        await self._log.flush()  # an answer may be judged before it was written down
        redacted = {name: self._redact(text) for name in _TEXTS if (text := getattr(feedback, name))}
        await self._database.run(
            lambda connection: give(connection, replace(feedback, **redacted), principal, request_id)
        )


def give(connection: Connection, feedback: Feedback, principal: Principal, request_id: str) -> None:
    """Ties the word to the request of that name, in place of an earlier one of the same reader.

    Raises NotFound unless the reader is who asked it: to all others the request does not exist.
    """
    record = requests.find(connection, principal.tenant, principal.subject, request_id)
    if record is None:
        raise NotFound(f"your key asked nothing under the id '{request_id}' that the log still has")
    connection.change("DELETE FROM feedback WHERE record_id = :id", {"id": record.id})
    row = {
        **msgspec.structs.asdict(feedback),
        "record_id": record.id,
        "tenant": record.tenant,
        "subject": record.subject,
    }
    connection.change(
        "INSERT INTO feedback (id, record_id, at_s, tenant, subject, thumb, comment, correction) VALUES"
        " (:id, :record_id, :at_s, :tenant, :subject, :thumb, :comment, :correction)",
        row,
    )
    if feedback.thumb == "down":
        requests.keep(connection, record.id)


def of(connection: Connection, record_ids: list[str]) -> dict[str, Feedback]:
    """The feedback on each of the records that has some, by record id."""
    names = {f"id_{chr(97 + at // 26)}{chr(97 + at % 26)}": value for at, value in enumerate(record_ids)}
    if not names:
        return {}
    chosen = ", ".join(f":{name}" for name in names)
    rows = connection.execute(f"SELECT * FROM feedback WHERE record_id IN ({chosen})", names)  # noqa: S608 - names are ours
    return {row["record_id"]: msgspec.convert(row, Feedback) for row in rows}
