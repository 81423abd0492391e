"""Every failure as RFC 9457 problem+json: one table from error class to type, title and status.

The types are documented in docs/problems.md; `type` is a URI reference to an entry there. `instance` is the request id,
which the log carries too. A 5xx that is our fault says nothing of its cause: that is in the log.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from rag.base import errors
from rag.serve.bodies import MalformedJson
from rag.serve.identity import request_id_of

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class Kind(Struct, frozen=True):
    """One row of the table: the last part of `type`, the title and the status. A private one hides its detail."""

    slug: str
    title: str
    status: int
    is_private: bool = False


INTERNAL = Kind("internal-error", "Something went wrong here", 500, is_private=True)

KINDS: Mapping[type[Exception], Kind] = {
    Exception: INTERNAL,
    errors.GroundwireError: INTERNAL,
    errors.ConfigError: Kind("misconfigured", "The server is not set up for this", 500, is_private=True),
    errors.CallerError: Kind("bad-request", "The request cannot be served as it is", 400),
    errors.InvalidInput: Kind("invalid-input", "The input is not valid", 422),
    MalformedJson: Kind("malformed-json", "The body is not JSON", 400),
    errors.Unauthenticated: Kind("unauthenticated", "Credentials are needed", 401),
    errors.Forbidden: Kind("forbidden", "Not allowed", 403),
    errors.NotFound: Kind("not-found", "Not found", 404),
    errors.Conflict: Kind("conflict", "The request contradicts the present state", 409),
    errors.TooLarge: Kind("too-large", "The request is too large", 413),
    errors.LoadError: Kind("overloaded", "Too busy at the moment", 503),
    errors.Overloaded: Kind("overloaded", "Too busy at the moment", 503),
    errors.QuotaExceeded: Kind("quota-exceeded", "The allowance is used up", 429),
    errors.BudgetExceeded: Kind("budget-exceeded", "The budget is used up", 429),
    errors.DependencyError: Kind("bad-dependency", "Something this server relies on failed", 502),
    errors.BadDependency: Kind("bad-dependency", "Something this server relies on failed", 502),
    errors.Unavailable: Kind("unavailable", "Not available at the moment", 503),
    errors.DeadlineExceeded: Kind("deadline-exceeded", "It took too long", 504),
    errors.IngestError: Kind("unreadable-document", "The document cannot be indexed", 422),
    errors.PermanentIngestError: Kind("unreadable-document", "The document cannot be indexed", 422),
    errors.TransientIngestError: Kind("ingest-interrupted", "The document could not be indexed this time", 503),
}

HTTP_KINDS: Mapping[int, Kind] = {
    400: KINDS[errors.CallerError],
    401: KINDS[errors.Unauthenticated],
    403: KINDS[errors.Forbidden],
    404: KINDS[errors.NotFound],
    405: Kind("method-not-allowed", "This method is not served here", 405),
    408: Kind("too-slow", "The request took too long to arrive", 408),
    413: KINDS[errors.TooLarge],
    415: Kind("unsupported-media-type", "This kind of body is not understood", 415),
    422: KINDS[errors.InvalidInput],
    499: Kind("client-left", "The client closed the connection", 499),
}
"""For what the web framework itself refuses."""


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place and what is wrong there: an RFC 6901 pointer into the body, or the name of a parameter."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error response, and of the `error` event of a stream."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[Fault, ...] = ()
    retry_after_s: float | None = None


def kind_of(error: Exception) -> Kind:
    """The row for an error: the nearest one among its classes; a framework error goes by its status."""
    if isinstance(error, ValidationException):
        return KINDS[errors.InvalidInput]
    if isinstance(error, HTTPException):
        return HTTP_KINDS.get(error.status_code) or _generic(error.status_code)
    return next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)


def describe(error: Exception, request_id: str) -> Problem:
    """The problem that tells a caller of the error."""
    kind = kind_of(error)
    return Problem(
        type=f"/problems/{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail="The log has the cause under this request id." if kind.is_private else _detail(error),
        instance=request_id,
        errors=_faults(error),
        retry_after_s=_retry_after_s(error),
    )


def report(error: Exception, request_id: str) -> Problem:
    """As `describe`, and writes to the log what is our fault, with its traceback, and what others failed to do."""
    problem = describe(error, request_id)
    if problem.status == INTERNAL.status:
        _log.error("request %s failed", request_id, exc_info=error)
    elif isinstance(error, errors.DependencyError):
        _log.warning("request %s failed: %s", request_id, errors.for_the_log(error))
    return problem


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the application, for every exception there is."""
    problem = report(error, request_id_of(request.scope))
    return Response(
        content=msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers_of(error, problem),
    )


def _retry_after_s(error: Exception) -> float | None:
    """None too where no wait would help, as with a budget that is never renewed."""
    wait_s = error.retry_after_s if isinstance(error, errors.LoadError | errors.Unavailable) else None
    return wait_s if wait_s is not None and math.isfinite(wait_s) else None


def _generic(status: int) -> Kind:
    return KINDS[errors.CallerError] if 400 <= status < 500 else INTERNAL


def _detail(error: Exception) -> str:
    if isinstance(error, ValidationException) and error.extra:
        return "; ".join(fault.detail for fault in _faults(error))
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code) if error.status_code != 499 else None
        return status.description if status and error.detail == status.phrase else error.detail
    return str(error)


def _faults(error: Exception) -> tuple[Fault, ...]:
    if isinstance(error, errors.InvalidInput):
        return (Fault(detail=str(error), pointer=error.pointer),)
    if isinstance(error, errors.TooLarge):
        return (Fault(detail=str(error), pointer=""),)
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        return tuple(_framework_fault(entry) for entry in extra)
    return ()


def _framework_fault(entry: Mapping[str, Any]) -> Fault:
    """Litestar describes a parameter it could not read as {message, key, source}."""
    message, key = str(entry.get("message", "not valid")), str(entry.get("key", ""))
    if key == "data" or entry.get("source") == "body":
        return Fault(detail="a JSON body is needed", pointer="")
    return Fault(detail=message, parameter=key)


def headers_of(error: Exception, problem: Problem) -> dict[str, str]:
    """What the response says beside its body: when to ask again, and how to authenticate."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_s)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="groundwire"'
    return headers
