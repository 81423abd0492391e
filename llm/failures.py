"""What a provider's refusal means: one table from status and error code to a class of failure.

The classes are those that call for different reactions (ask again, another key, another target, the caller is at
fault), whoever reacts. An error inside a stream that began with 200 is read like the status it stands for.
"""

import re
from typing import Literal, TypeVar

from msgspec import Struct

from rag.base.errors import BadDependency, GroundwireError, QuotaExceeded, Unavailable

ErrorT = TypeVar("ErrorT", bound=GroundwireError)
FailureKind = Literal[
    "overload",
    "rate_limit",
    "credentials",
    "model_missing",
    "context_length",
    "content_policy",
    "rejected",
]

DEFAULT_RETRY_AFTER_S = 5.0  # for a rate limit that does not say when to come back

_TRANSIENT = (408, 409, 424)  # of those below 500; 424 is Bedrock's for a model that failed
_IN_STREAM_STATUS = 502  # an error that says neither code nor type
_STATUS_BY_WORD = {
    # OpenAI and those who imitate it
    "rate_limit_exceeded": 429,
    "slow_down": 429,
    "badrequesterror": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "server_is_overloaded": 503,
    "content_filter": 400,
    # Anthropic, and OpenAI where they agree
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Google
    "invalid_argument": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "resource_exhausted": 429,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    # Bedrock
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
_NO_ADMISSION = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_error",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "organization_on_hold",
        "api_key_invalid",
        "quota_per_day",
    }
)
_TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"})
_POLICY = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})

# What only the message tells. Wordings change, so a match sharpens the class and nothing relies on it.
_SAYS_TOO_LONG = re.compile(r"(?:prompt|input) is too long|input token count|maximum context length", re.IGNORECASE)
_SAYS_SPENT = re.compile(
    r"credit balance is too low|specified (?:workspace )?API usage limits|too many tokens per day", re.IGNORECASE
)
_SAYS_FILTERED = re.compile(r"blocked by (?:the |our )?content filter", re.IGNORECASE)
_UNFIT_FOR_PRINT = re.compile(r"[^A-Za-z0-9_.:-]")

_ADVICE: dict[FailureKind, str] = {
    "credentials": "check the credentials and the credit behind its `api_key` setting",
    "overload": "it is overloaded or failing",
    "model_missing": "check its `base_url` and `model` settings",
    "context_length": "the prompt is longer than this model reads; lower the context budget",
    "content_policy": "its content policy refused the prompt",
    "rejected": "it refused the request",
}


class WireError(Struct, frozen=True):
    """An error as a provider words it; `code` is a word with some servers and an HTTP status with others."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """One refusal: its class, the HTTP status it had or stands for, and the provider's own word for it."""

    kind: FailureKind
    status: int
    code: str = ""
    retry_after_s: float | None = None


def failure_of(status: int | None, error: WireError, retry_after_s: float | None = None) -> Failure:
    """The failure behind a response's status and error object; `status` is None for an error inside a stream."""
    words = [str(word).lower() for word in (error.code, error.type) if word]
    if status is None:
        status = _status_in_stream(error, words)
    code = _UNFIT_FOR_PRINT.sub("", words[0])[:64] if words else ""
    kind = _kind(status, frozenset(words), error.message or "")
    return Failure(kind=kind, status=status, code=code, retry_after_s=retry_after_s)


class Refused(Exception):
    """The cause of every error that a refusal becomes, so that whoever catches it can tell the class of the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.kind}: HTTP {failure.status} {failure.code}".rstrip())
        self.failure = failure


def refused(error: ErrorT, failure: Failure) -> ErrorT:
    """The error, with the refusal as its cause."""
    error.__cause__ = Refused(failure)
    return error


def failure_behind(error: BaseException) -> Failure | None:
    """What a provider refused with, if that is what `error` comes from."""
    return error.__cause__.failure if isinstance(error.__cause__, Refused) else None


def as_error(failure: Failure, target: str) -> GroundwireError:
    """The error to raise. The provider's message stays out of it: it may repeat a key or the question."""
    return refused(_translated(failure, target), failure)


def _translated(failure: Failure, target: str) -> GroundwireError:
    answered = f"{target} answered HTTP {failure.status}" + (f" ({failure.code})" if failure.code else "")
    if failure.kind == "rate_limit":
        wait_s = DEFAULT_RETRY_AFTER_S if failure.retry_after_s is None else failure.retry_after_s
        return QuotaExceeded(f"{answered}: its rate limit is used up", retry_after_s=wait_s)
    if failure.kind in ("credentials", "overload"):
        return Unavailable(f"{answered}: {_ADVICE[failure.kind]}", retry_after_s=failure.retry_after_s)
    return BadDependency(f"{answered}: {_ADVICE[failure.kind]}")


def _status_in_stream(error: WireError, words: list[str]) -> int:
    if isinstance(error.code, int) and 400 <= error.code <= 599:
        return error.code
    if words and re.fullmatch("[45][0-9]{2}", words[0]):
        return int(words[0])
    return next((_STATUS_BY_WORD[word] for word in words if word in _STATUS_BY_WORD), _IN_STREAM_STATUS)


def _kind(status: int, words: frozenset[str], message: str) -> FailureKind:
    if status in (401, 402, 403) or words & _NO_ADMISSION or _SAYS_SPENT.search(message):
        return "credentials"
    if status == 429:
        return "rate_limit"
    if status in _TRANSIENT or status >= 500:
        return "overload"
    return _fault(status, words, message)


def _fault(status: int, words: frozenset[str], message: str) -> FailureKind:
    """The class of a refusal that asking again will not change."""
    if status == 413 or words & _TOO_LONG:
        return "context_length"
    if words & _POLICY:
        return "content_policy"
    if status == 404 or status < 400:
        return "model_missing"
    if _SAYS_FILTERED.search(message):
        return "content_policy"
    return "context_length" if _SAYS_TOO_LONG.search(message) else "rejected"
