"""A provider's refusal that is the request's own fault, which its caller is to hear as if no gateway stood between."""

from msgspec import Struct

from llm.failures import FailureKind, failure_behind

_CODES: dict[FailureKind, tuple[int, str]] = {
    "context_length": (400, "context_length_exceeded"),
    "content_policy": (400, "content_filter"),
    "model_missing": (404, "model_not_found"),
    "rejected": (400, "invalid_request"),
}


class Refusal(Struct, frozen=True):
    """The status to answer with, and the code by which clients know the fault."""

    status: int
    code: str


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal behind an error; None for what is no fault of the caller's, such as a key or an outage."""
    failure = failure_behind(error)
    known = _CODES.get(failure.kind) if failure else None
    return Refusal(*known) if known else None
