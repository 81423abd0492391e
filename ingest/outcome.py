"""What became of a document, and of a run over many."""

from typing import Literal

from msgspec import Struct

from rag.base.errors import (
    DependencyError,
    GroundwireError,
    IngestError,
    LoadError,
    PermanentIngestError,
    TransientIngestError,
)

Status = Literal["added", "updated", "unchanged", "duplicate", "failed"]


class Failure(Struct, frozen=True, kw_only=True):
    """A document, or a source of documents, that could not be read. `transient`: it may work later."""

    uri: str
    reason: str
    transient: bool = False

    def error(self) -> IngestError:
        """The same as an error."""
        return TransientIngestError(self.reason) if self.transient else PermanentIngestError(self.reason)


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one document. `n_tokens` counts what was embedded now.

    A "duplicate" holds the same as another document: it is kept as a reference to that one and has no chunks.
    """

    document_id: str
    uri: str
    status: Status
    version: str = ""
    n_chunks: int = 0
    n_tokens: int = 0
    reason: str = ""
    transient: bool = False


class Report(Struct, kw_only=True):
    """The sum of a run. `chunks` counts the chunks that were embedded and stored."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    failed: int = 0
    chunks: int = 0
    seconds: float = 0.0
    failures: list[Failure] = []

    def count(self, outcome: Outcome) -> None:
        """Adds one document."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        if outcome.status in ("added", "updated"):
            self.chunks += outcome.n_chunks
        if outcome.status == "failed":
            self.failures.append(Failure(uri=outcome.uri, reason=outcome.reason, transient=outcome.transient))


def failed(uri: str, document_id: str, error: GroundwireError) -> Outcome:
    """The outcome of a document that `error` stopped."""
    transient = isinstance(error, TransientIngestError | LoadError | DependencyError)
    return Outcome(document_id=document_id, uri=uri, status="failed", reason=str(error), transient=transient)
