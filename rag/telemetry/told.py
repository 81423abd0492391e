"""What is to be told of a question once it is over: the same for the numbers, the log and the trace."""

import asyncio
from contextvars import ContextVar

from msgspec import Struct

from rag.base.answers import Answer
from rag.base.errors import GroundwireError, LoadError
from rag.telemetry.spent import Spent

REQUEST_ID: ContextVar[str] = ContextVar("groundwire_request_id", default="")
"""The id of the request that goes on here, as its response names it."""


class Told(Struct, frozen=True, kw_only=True):
    """One request that ended, with an answer, with an error, or with neither because whoever asked went away.

    `kind` is "ask" for a question to the documents, "chat" for a call of a model by itself.
    """

    kind: str
    request_id: str
    tenant: str
    subject: str
    outcome: str
    error: str | None
    model: str | None = None
    question: str | None = None
    answer: Answer | None = None
    duration_s: float
    ttft_s: float | None
    spent: Spent


def outcome_of(answer: Answer) -> str:
    """Answered, refused (insufficient evidence) or cache_hit."""
    if answer.cache.status == "hit":
        return "cache_hit"
    return "refused" if answer.stop_reason == "insufficient_evidence" else "answered"


def outcome_of_error(error: Exception) -> str:
    """Shed for want of capacity, else error."""
    return "shed" if isinstance(error, LoadError) else "error"


def class_of(error: Exception) -> str:
    """The name of an error's class where it is one of ours, so that there are few."""
    return type(error).__name__ if isinstance(error, GroundwireError | asyncio.TimeoutError) else "Unexpected"


def top_cosine(answer: Answer) -> float | None:
    """The cosine of the question and the nearest passage; None where no leg measured it."""
    cosines = [leg.score for each in answer.candidates for leg in each.legs if leg.origin == "dense"]
    return max(cosines, default=None)
