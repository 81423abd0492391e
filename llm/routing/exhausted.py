"""The one error that a caller gets when nobody could answer."""

from collections.abc import Sequence

from llm.failures import Failure, refused
from llm.routing.attempt import Attempt
from llm.routing.decision import Decision
from llm.routing.trial import NEVER
from rag.base.errors import (
    BadDependency,
    DeadlineExceeded,
    GroundwireError,
    LoadError,
    QuotaExceeded,
    Unavailable,
    for_the_log,
)

DEFAULT_RETRY_AFTER_S = 1.0  # where nothing is known
MIN_RETRY_AFTER_S = 0.1


def exhausted(
    route: str, attempts: Sequence[Attempt], decision: Decision, why: str, *, is_late: bool
) -> GroundwireError:
    """What to raise after `attempts`, when `decision` found nobody else or there is no more time or budget for them.

    Failures of one kind are told as the last of them; for a mixture it is Unavailable. `why` is a note for the log, as
    is what became of each attempt.
    """
    error = _of_attempts(route, attempts, is_late=is_late) if attempts else _of_nobody(route, decision)
    for attempt in attempts:
        if attempt.error is not None and attempt.error is not error:
            error.add_note(f"{attempt.target.name}, key '{attempt.key.label}': {for_the_log(attempt.error)}")
    error.add_note(f"route '{route}': {why}")
    if isinstance(error, LoadError | Unavailable) and decision.ready_in_s is not None:
        error.retry_after_s = max(decision.ready_in_s, MIN_RETRY_AFTER_S)
    return error


def _of_attempts(route: str, attempts: Sequence[Attempt], *, is_late: bool) -> GroundwireError:
    kinds = {attempt.outcome for attempt in attempts}
    last = attempts[-1].error
    if last is not None and (
        len(kinds) == 1 or attempts[-1].outcome in ("rejected", "context_length", "content_policy")
    ):
        return last
    told = ", ".join(f"{attempt.target.name}: {attempt.outcome}" for attempt in attempts)
    if is_late:
        return DeadlineExceeded(f"no target of '{route}' answered in time ({told})")
    return Unavailable(f"no target of '{route}' could answer ({told})", retry_after_s=DEFAULT_RETRY_AFTER_S)


def _of_nobody(route: str, decision: Decision) -> GroundwireError:
    reasons = {one.excluded for one in decision.candidates if one.excluded not in NEVER}
    told = ", ".join(f"{one.target}: {one.excluded}" for one in decision.candidates)
    if reasons == {"context"}:
        too_long = BadDependency(f"the prompt is longer than any target of '{route}' reads ({told})")
        return refused(too_long, Failure(kind="context_length", status=400))
    message = f"no target of '{route}' is available ({told})"
    if reasons and reasons <= {"rate_limited", "used_up"}:
        return QuotaExceeded(message, retry_after_s=DEFAULT_RETRY_AFTER_S)
    error = Unavailable(message, retry_after_s=DEFAULT_RETRY_AFTER_S)
    return refused(error, Failure(kind="credentials", status=503)) if reasons == {"quarantined"} else error
