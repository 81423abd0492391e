"""Every failure in the shape of Anthropic's errors: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

The rows of `rag.serve.problems` decide the status; faulty input is a 400, and too much work a 529, as there.
"""

from typing import Any

import msgspec
from litestar import Request, Response
from msgspec import Struct

from rag.base.errors import Overloaded
from rag.serve.gateway.call import Api
from rag.serve.gateway.refusal import refusal_of
from rag.serve.identity import request_id_of
from rag.serve.problems import Problem, headers_of, report

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Error(Struct, frozen=True):
    type: str
    message: str


class _Envelope(Struct, frozen=True, kw_only=True):
    type: str = "error"
    error: _Error
    request_id: str


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The exception handler of the routes for Anthropic's clients."""
    problem = report(error, request_id_of(request.scope))
    return Response(
        msgspec.json.encode(_described(error, problem)),
        status_code=_status(error, problem),
        media_type="application/json",
        headers=headers_of(error, problem),
    )


def error_event(error: Exception, request_id: str) -> bytes:
    """The last event of a stream that broke off; `message_stop` does not follow."""
    body = _described(error, report(error, request_id))
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(body)


def _status(error: Exception, problem: Problem) -> int:
    refusal = refusal_of(error)
    if refusal:
        return refusal.status
    if isinstance(error, Overloaded):
        return 529
    return 400 if problem.status == 422 else problem.status


def _described(error: Exception, problem: Problem) -> _Envelope:
    status = _status(error, problem)
    place = next((f"{fault.pointer}: " for fault in problem.errors if fault.pointer), "")
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return _Envelope(error=_Error(kind, place + problem.detail), request_id=problem.instance)


ANTHROPIC = Api(respond=respond, event=error_event)
