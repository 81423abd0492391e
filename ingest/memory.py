"""What was read from where: so that an unchanged source need not be read again, and a missing one is noticed.

The store stays the truth. What the memory says of a document counts only while the store holds that version of it, so
a memory that is lost, old or of another index costs one reading of everything and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from ingest.outcome import Failure
from rag.base.sqlite import open_sqlite, transaction

FILE_NAME = "sources.sqlite"
"""Within the data folder."""

BUSY_TIMEOUT_S = 30.0
"""For another process that writes at the same moment."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS source (
    tenant TEXT NOT NULL, uri TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (tenant, uri)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, source TEXT NOT NULL, version TEXT NOT NULL, present INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS document_by_source ON document (tenant, source);
CREATE TABLE IF NOT EXISTS failure (
    tenant TEXT NOT NULL, uri TEXT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, transient INTEGER NOT NULL,
    attempts INTEGER NOT NULL, failed_at TEXT NOT NULL, options BLOB NOT NULL, PRIMARY KEY (tenant, uri)
) WITHOUT ROWID;
"""


class Reading(Struct, frozen=True, kw_only=True):
    """A source as it was read: while `stamp` is the same, it holds these documents (version by id).

    An empty stamp is that of a source that must be read again. Only a `whole` reading tells what is not in the source.
    """

    uri: str
    stamp: str
    documents: Mapping[str, str]
    whole: bool = True


class Known(Struct, frozen=True, kw_only=True):
    """A source in the memory: the documents that its last reading held, and others that earlier ones did."""

    uri: str
    present: Sequence[str]
    dropped: Sequence[str]


class Options(Struct, frozen=True, kw_only=True):
    """What a reading gives documents that state none themselves."""

    acl: tuple[str, ...]
    metadata: dict[str, Any]


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A document that could not be indexed, and how it was asked for. `transient`: it may work if tried again."""

    uri: str
    source: str
    reason: str
    transient: bool
    attempts: int
    failed_at: datetime
    options: Options


class SourceMemory:
    """The readings of every tenant, in a file that several processes may have open. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._db = open_sqlite(path, BUSY_TIMEOUT_S)
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def readings(self, tenant: str, sources: Sequence[str]) -> dict[str, Reading]:
        """The last readings of those sources, by uri."""
        places = ",".join("?" * len(sources))
        stamps = f"SELECT uri, stamp FROM source WHERE tenant = ? AND uri IN ({places})"  # noqa: S608 - question marks
        held = f"SELECT source, id, version FROM document WHERE tenant = ? AND present AND source IN ({places})"  # noqa: S608
        documents: dict[str, dict[str, str]] = {}
        for source, identifier, version in self._db.execute(held, (tenant, *sources)):
            documents.setdefault(source, {})[identifier] = version
        found = self._db.execute(stamps, (tenant, *sources))
        return {uri: Reading(uri=uri, stamp=stamp, documents=documents.get(uri, {})) for uri, stamp in found}

    def note(self, tenant: str, readings: Sequence[Reading]) -> None:
        """Keeps the readings in place of earlier ones; documents that they hold no more stay until forgotten."""
        kept = [
            (identifier, tenant, each.uri, version)
            for each in readings
            for identifier, version in each.documents.items()
        ]
        whole = [(tenant, each.uri) for each in readings if each.whole]
        stamps = [(tenant, each.uri, each.stamp) for each in readings]
        with transaction(self._db):
            self._db.executemany("UPDATE document SET present = 0 WHERE tenant = ? AND source = ?", whole)
            self._db.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, 1)", kept)
            self._db.executemany("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", stamps)

    def below(self, tenant: str, scope: str) -> Iterator[Known]:
        """The sources at the uri `scope` or below it that documents came from, by uri."""
        query = """
            SELECT source, group_concat(CASE WHEN present THEN id END), group_concat(CASE WHEN NOT present THEN id END)
            FROM document
            WHERE tenant = :tenant AND (source = :scope OR source > :scope || '/' AND source < :scope || '0')
            GROUP BY source ORDER BY source
        """  # '0' follows '/'
        with closing(self._db.execute(query, {"tenant": tenant, "scope": scope})) as rows:
            for uri, present, dropped in rows:
                yield Known(uri=uri, present=_ids(present), dropped=_ids(dropped))

    def fail(self, tenant: str, failure: Failure, options: Options) -> None:
        """Keeps a failure until the document is indexed, and counts how often it was tried."""
        row = (tenant, failure.uri, failure.source, failure.reason, failure.transient, datetime.now(UTC).isoformat())
        self._db.execute(
            "INSERT INTO failure VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET source = excluded.source, "
            "reason = excluded.reason, transient = excluded.transient, attempts = attempts + 1, "
            "failed_at = excluded.failed_at, options = excluded.options",
            (*row, msgspec.json.encode(options)),
        )

    def succeed(self, tenant: str, uri: str) -> None:
        """Takes a document from the dead letters."""
        self._db.execute("DELETE FROM failure WHERE tenant = ? AND uri = ?", (tenant, uri))

    def dead_letters(self, tenant: str) -> list[DeadLetter]:
        """The documents that could not be indexed, by uri."""
        query = (
            "SELECT uri, source, reason, transient, attempts, failed_at, options FROM failure "
            "WHERE tenant = ? ORDER BY uri"
        )
        return [
            DeadLetter(
                uri=uri,
                source=source,
                reason=reason,
                transient=bool(transient),
                attempts=attempts,
                failed_at=datetime.fromisoformat(failed_at),
                options=msgspec.json.decode(options, type=Options),
            )
            for uri, source, reason, transient, attempts, failed_at, options in self._db.execute(query, (tenant,))
        ]

    def forget(self, documents: Sequence[str]) -> None:
        """Drops documents that were deleted. Their sources are read again if they are found again."""
        with transaction(self._db):
            self._db.executemany("DELETE FROM document WHERE id = ?", [(identifier,) for identifier in documents])


def _ids(joined: str | None) -> list[str]:
    return joined.split(",") if joined else []
