"""What became of a document, and of a run over many."""

from typing import Literal, Protocol

from msgspec import Struct

from rag.base.errors import (
    DependencyError,
    GroundwireError,
    IngestError,
    LoadError,
    PermanentIngestError,
    TransientIngestError,
)

Status = Literal["added", "updated", "unchanged", "duplicate", "skipped", "failed"]


class Failure(Struct, frozen=True, kw_only=True):
    """A document, or a source of documents, that could not be read. `transient`: it may work later.

    `source` is the uri of what it was read from, here and below.
    """

    uri: str
    reason: str
    transient: bool = False
    source: str = ""

    def error(self) -> IngestError:
        """The same as an error."""
        return TransientIngestError(self.reason) if self.transient else PermanentIngestError(self.reason)


class HasSource(Protocol):
    """A draft, a document or a failure."""

    @property
    def uri(self) -> str:
        """What it is called."""
        ...

    @property
    def source(self) -> str:
        """The uri of what it was read from."""
        ...


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one document. `n_tokens` counts what was embedded now.

    A "duplicate" holds the same as another document: it is kept as a reference to that one and has no chunks. One that
    says nearly the same as another names it in `near_duplicate_of`; it is indexed nevertheless, or "skipped".
    """

    document_id: str
    uri: str
    status: Status
    version: str = ""
    n_chunks: int = 0
    n_tokens: int = 0
    reason: str = ""
    transient: bool = False
    source: str = ""
    near_duplicate_of: str | None = None


class Report(Struct, kw_only=True):
    """The sum of a run. `chunks` counts the chunks that were embedded and stored, `deleted` what was missing.

    `near_duplicate` documents are among the added and updated ones.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    near_duplicate: int = 0
    skipped: int = 0
    failed: int = 0
    deleted: int = 0
    chunks: int = 0
    seconds: float = 0.0
    failures: list[Failure] = []

    @property
    def n_documents(self) -> int:
        """All that was found, whatever became of it."""
        return self.added + self.updated + self.unchanged + self.duplicate + self.skipped + self.failed

    def count(self, outcome: Outcome) -> None:
        """Adds one document."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        self.near_duplicate += outcome.near_duplicate_of is not None and outcome.status != "skipped"
        if outcome.status in ("added", "updated"):
            self.chunks += outcome.n_chunks
        if outcome.status == "failed":
            self.failures.append(failure_of(outcome))

    def add(self, other: "Report") -> None:
        """Adds another run."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def failure_of(outcome: Outcome) -> Failure:
    """What a failed document is reported as."""
    return Failure(uri=outcome.uri, reason=outcome.reason, transient=outcome.transient, source=outcome.source)


def failed(item: HasSource, document_id: str, error: GroundwireError) -> Outcome:
    """The outcome of a document that `error` stopped."""
    return Outcome(
        document_id=document_id,
        uri=item.uri,
        status="failed",
        reason=str(error),
        transient=isinstance(error, TransientIngestError | LoadError | DependencyError),
        source=item.source,
    )
