"""Every error that Groundwire raises on purpose.

    GroundwireError
    ├── CallerError            the request cannot be served as it is; asking again will not help
    │   ├── InvalidInput       422, with the place of the fault
    │   ├── Unauthenticated    401
    │   ├── Forbidden          403
    │   ├── NotFound           404
    │   ├── Conflict           409
    │   └── TooLarge           413
    ├── LoadError              ask again after `retry_after_s`
    │   ├── Overloaded         503
    │   └── QuotaExceeded      429
    │       └── BudgetExceeded 429, for money
    ├── DependencyError        something that Groundwire relies on failed
    │   ├── BadDependency      502
    │   ├── Unavailable        503
    │   └── DeadlineExceeded   504
    ├── IngestError            one document could not be indexed; the others can
    │   ├── PermanentIngestError
    │   └── TransientIngestError
    └── ConfigError            the settings or the installation are wrong; the command exits with 2

Messages say what happened, the offending value and what to do. They never hold secrets or document text.
"""


class GroundwireError(Exception):
    """The root: catching it catches what Groundwire raises on purpose and nothing else."""


class CallerError(GroundwireError):
    """The caller asked for something that cannot be served; repeating it will not help."""


class InvalidInput(CallerError):
    """A value is missing, malformed or out of range. `pointer` is an RFC 6901 JSON pointer to it."""

    def __init__(self, message: str, *, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class Unauthenticated(CallerError):
    """No valid credentials were presented."""


class Forbidden(CallerError):
    """The caller is known and may not do this."""


class NotFound(CallerError):
    """It does not exist, or the caller may not know that it does."""


class Conflict(CallerError):
    """The request contradicts the present state."""


class TooLarge(CallerError):
    """The request is over a size limit."""


class LoadError(GroundwireError):
    """There is no capacity for this now."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(LoadError):
    """A queue is full, or the deadline cannot be met."""


class QuotaExceeded(LoadError):
    """The caller used up an allowance. An infinite `retry_after_s`: asking again will not help."""


class BudgetExceeded(QuotaExceeded):
    """The call could cost more than is left of a budget."""


class DependencyError(GroundwireError):
    """A store, a model or a provider failed."""


class BadDependency(DependencyError):
    """It answered, with an error or with nonsense."""


class Unavailable(DependencyError):
    """It cannot be reached, or it is not ready. `retry_after_s` where it is known when it will be."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(DependencyError):
    """It did not answer in time."""


class IngestError(GroundwireError):
    """One document could not be indexed."""


class PermanentIngestError(IngestError):
    """It will fail again in the same way: password, scanned pages, malformed file."""


class TransientIngestError(IngestError):
    """It may work later."""


class ConfigError(GroundwireError):
    """Settings, data folder or installation are wrong. `path` names the setting where there is one."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def for_the_log(error: BaseException) -> str:
    """The message with its notes: what operators need to know and callers do not, such as addresses."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])
