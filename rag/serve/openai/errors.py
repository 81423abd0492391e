"""Every failure in the shape of OpenAI's errors: `{"error": {"message", "type", "param", "code"}}`.

The rows of `rag.serve.problems` decide the status; two things differ, because OpenAI's clients tell errors apart by
them: faulty input is a 400, and a provider's refusal of the request is told by its own status and code.
"""

from typing import Any

import msgspec
from litestar import Request, Response
from msgspec import Struct

from rag.base import errors
from rag.serve.gateway.call import Api
from rag.serve.gateway.refusal import refusal_of
from rag.serve.identity import request_id_of
from rag.serve.problems import Problem, headers_of, report

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
    return Response(
        msgspec.json.encode(_Envelope(_described(error, problem))),
        status_code=_status(error, problem),
        media_type="application/json",
        headers=headers_of(error, problem),
    )


def error_event(error: Exception, request_id: str) -> bytes:
    """The last event of a stream that broke off; `[DONE]` does not follow."""
    body = _Envelope(_described(error, report(error, request_id)))
    return b"data: %b\n\n" % msgspec.json.encode(body)


class _ErrorEvent(Struct, frozen=True, kw_only=True):
    type: str = "error"
    code: str | None
    message: str
    param: str | None
    sequence_number: int = 0
    error: ErrorBody


def response_error_event(error: Exception, request_id: str) -> bytes:
    """The same in the stream of a response. The error stands there twice: clients look for it in either place."""
    body = _described(error, report(error, request_id))
    event = _ErrorEvent(code=body.code, message=body.message, param=body.param, error=body)
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(event)


def _status(error: Exception, problem: Problem) -> int:
    refusal = refusal_of(error)
    if refusal:
        return refusal.status
    return 400 if problem.status == 422 else problem.status


def _described(error: Exception, problem: Problem) -> ErrorBody:
    status, refusal = _status(error, problem), refusal_of(error)
    pointer = next((fault.pointer for fault in problem.errors if fault.pointer), None)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return ErrorBody(
        message=problem.detail,
        type=kind,
        param=pointer.strip("/").replace("/", ".") if pointer else None,
        code=refusal.code if refusal else next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), None),
        request_id=problem.instance,
    )


OPENAI = Api(respond=respond, event=error_event)
