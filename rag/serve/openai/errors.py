"""Every failure in the shape of OpenAI's errors: `{"error": {"message", "type", "param", "code"}}`.

The rows of `rag.serve.problems` decide the status; two things differ, because OpenAI's clients tell errors apart by
them: faulty input is a 400, and a limit or a policy of a provider is told by its code.
"""

import math
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

from rag.base import errors
from rag.serve.gateway.call import Api
from rag.serve.identity import request_id_of
from rag.serve.problems import Problem, report

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: dict[type[Exception], str] = {
    errors.Unauthenticated: "invalid_api_key",
    errors.Forbidden: "forbidden",
    errors.NotFound: "model_not_found",
    errors.TooLarge: "request_too_large",
    errors.QuotaExceeded: "rate_limit_exceeded",
    errors.Overloaded: "server_is_overloaded",
    errors.BadDependency: "upstream_error",
    errors.Unavailable: "upstream_unavailable",
    errors.DeadlineExceeded: "upstream_timeout",
}


class ErrorBody(Struct, frozen=True, kw_only=True):
    """What went wrong. `param` is the place in the request, `request_id` is in the log too."""

    message: str
    type: str
    param: str | None
    code: str | None
    request_id: str


class _Envelope(Struct, frozen=True):
    error: ErrorBody


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the routes for OpenAI's clients."""
    problem = report(error, request_id_of(request.scope))
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_s)))
    body = msgspec.json.encode(_Envelope(_described(error, problem)))
    return Response(body, status_code=status_of(problem), media_type="application/json", headers=headers)


def error_event(error: Exception, request_id: str) -> bytes:
    """The last event of a stream that broke off; `[DONE]` does not follow."""
    body = _Envelope(_described(error, report(error, request_id)))
    return b"data: %b\n\n" % msgspec.json.encode(body)


def status_of(problem: Problem) -> int:
    """The status under which clients expect the problem."""
    return 400 if problem.status == 422 else problem.status


def _described(error: Exception, problem: Problem) -> ErrorBody:
    status = status_of(problem)
    pointer = next((fault.pointer for fault in problem.errors if fault.pointer), None)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return ErrorBody(
        message=problem.detail,
        type=kind,
        param=pointer.strip("/").replace("/", ".") if pointer else None,
        code=next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), None),
        request_id=problem.instance,
    )


OPENAI = Api(respond=respond, event=error_event)
