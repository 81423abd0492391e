"""What became of an attempt, and what follows from it: one table, whoever acts on it."""

from typing import Final, Literal

from msgspec import Struct

from llm.failures import FailureKind, failure_behind
from rag.base.errors import BudgetExceeded, CallerError, DeadlineExceeded, LoadError, QuotaExceeded, Unavailable

FailedOutcome = FailureKind | Literal["connect", "timeout", "cut_off", "empty", "declined"]
Outcome = FailedOutcome | Literal["ok", "cancelled"]


class Reaction(Struct, frozen=True, kw_only=True):
    """What may be tried next, and who is to blame."""

    n_same: int = 0
    """How often the same target may be asked again, after a pause and when nobody else is left."""
    other_key: bool = False
    """Whether another key of the same target may help."""
    others: Literal["any", "listed", "none"] = "any"
    """Whether another target may help: any, those listed for this failure, or none."""
    blames_target: bool = False
    """Whether it counts for the breaker."""
    key: Literal["keep", "cool", "quarantine"] = "keep"
    """What happens to the key, for all requests."""


REACTIONS: Final[dict[FailedOutcome, Reaction]] = {
    "connect": Reaction(n_same=1, blames_target=True),
    "cut_off": Reaction(n_same=1, blames_target=True),
    "timeout": Reaction(blames_target=True),
    "overload": Reaction(n_same=2, blames_target=True),
    "rate_limit": Reaction(n_same=2, other_key=True, key="cool"),
    "credentials": Reaction(other_key=True, key="quarantine"),
    "model_missing": Reaction(key="quarantine"),
    "context_length": Reaction(others="listed"),
    "content_policy": Reaction(others="listed"),
    "empty": Reaction(),
    "declined": Reaction(),
    "rejected": Reaction(others="none"),
}


_BY_TYPE: Final[tuple[tuple[type[Exception], FailedOutcome], ...]] = (
    (BudgetExceeded, "declined"),
    (CallerError, "declined"),
    (QuotaExceeded, "rate_limit"),
    (LoadError, "overload"),
    (Unavailable, "connect"),
    (DeadlineExceeded, "timeout"),
)
"""The first that fits; any other error is an answer that was broken off, cut short, empty or nonsense."""


def outcome_of(error: Exception) -> FailedOutcome:
    """The class of a failed attempt: what its provider said, else what kind of error it is."""
    failure = failure_behind(error)
    if failure is not None:
        return failure.kind
    return next((outcome for kind, outcome in _BY_TYPE if isinstance(error, kind)), "cut_off")


def hint_s(error: Exception) -> float | None:
    """When the provider wants to be asked again, in seconds, if it said so."""
    failure = failure_behind(error)
    if failure is not None:
        return failure.retry_after_s
    return error.retry_after_s if isinstance(error, LoadError | Unavailable) else None
