"""GET /traces, and the middleware that opens a trace for each request."""

from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct
from msgspec.structs import replace

from rag.base.errors import NotFound
from rag.base.types import Principal
from rag.compose import Services
from rag.serve.guards import LOOKS_BACK
from rag.serve.identity import request_id_of
from rag.serve.reference import refusals
from rag.telemetry import attributes
from rag.telemetry.finished import FinishedSpan, FinishedTrace
from rag.telemetry.spans import Span, Tracer
from rag.telemetry.told import REQUEST_ID
from rag.telemetry.w3c import HEADER, parsed

MAX_TRACES = 1_000

_QUIET = frozenset({"livez", "readyz", "metrics", "traces", "schema"})
"""What is asked by machines, or about traces, is not worth one."""


class TraceBody(Struct, frozen=True, kw_only=True):
    """A trace in a list: which request it was, when it began (seconds since 1970), and how it went."""

    trace_id: str
    request_id: str
    name: str
    started_s: float
    duration_s: float
    error: str | None
    n_spans: int


class TracesBody(Struct, frozen=True, kw_only=True):
    """The last traces, newest first."""

    traces: tuple[TraceBody, ...]


class SpanBody(Struct, frozen=True, kw_only=True):
    """One step of a trace; `start_s` counts from the start of the trace, `links` are (trace, span) ids."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_s: float
    duration_s: float
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    error: str | None


class WholeTraceBody(TraceBody, frozen=True, kw_only=True):
    """A trace with its spans, by their start, and the batches in which others were served too."""

    spans: tuple[SpanBody, ...]
    batches: tuple[SpanBody, ...]


@get(
    "/traces",
    tags=["traces"],
    summary="List the last traces",
    opt=LOOKS_BACK,
    responses=refusals(422),
    sync_to_thread=False,
)
def list_traces(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_TRACES)] = 50,
) -> TracesBody:
    """Gives the traces that this process still has: of the key's own requests.

    With the scope `admin` of all of the tenant's, with `operator` of everyone's.
    """
    latest = services.tracing.recent.latest(lambda trace: _may_see(principal, trace))
    return TracesBody(traces=tuple(TraceBody(**_summary(trace)) for trace in latest[:limit]))


@get(
    "/traces/{trace_id:str}",
    tags=["traces"],
    summary="Get a trace",
    opt=LOOKS_BACK,
    responses=refusals(404),
    sync_to_thread=False,
)
def get_trace(
    trace_id: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> WholeTraceBody:
    """Gives one trace, by its id or by that of the request."""
    trace = services.tracing.recent.find(trace_id, lambda trace: _may_see(principal, trace))
    if trace is None:
        raise NotFound("there is no such trace here any more, or your key may not see it")
    batches = trace.batches if "operator" in principal.scopes else tuple(_own(span, trace) for span in trace.batches)
    return WholeTraceBody(**_summary(trace), spans=_bodies(trace.spans, trace), batches=_bodies(batches, trace))


class ObservedRequests:
    """ASGI middleware: each request has a name, and is a trace, or a part of the one that its `traceparent` names."""

    def __init__(self, app: ASGIApp, tracer: Tracer | None) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and notes how it ended."""
        route = str(scope.get("path_template") or "other")
        token = REQUEST_ID.set(request_id_of(scope))
        try:
            if self._tracer is None or route.strip("/").partition("/")[0] in _QUIET:
                await self._app(scope, receive, send)
            else:
                await self._traced(self._tracer, route, scope, receive, send)
        finally:
            REQUEST_ID.reset(token)

    async def _traced(self, tracer: Tracer, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        header = next((value for name, value in scope["headers"] if name == HEADER.encode()), b"")
        status: list[int] = []

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        with tracer.request(f"{scope.get('method')} {route}", "server", parsed(header.decode("latin-1"))) as span:
            try:
                await self._app(scope, receive, noting)
            finally:
                _note(span, scope, route, status[0] if status else None)


def _note(span: Span, scope: Scope, route: str, status: int | None) -> None:
    trace, request_id, method = span.trace, request_id_of(scope), str(scope.get("method"))
    trace.request_id = request_id
    principal = scope.get("user")
    if isinstance(principal, Principal):
        trace.owner = (principal.tenant, principal.subject)
    else:
        trace.is_sampled = False  # strangers could push out everyone's traces, and have a collector paid for theirs
    trace.notable = trace.notable or status is None or status >= 500
    span.describe = lambda _: attributes.http(method, route, status, request_id)


def _may_see(principal: Principal, trace: FinishedTrace) -> bool:
    """Nobody sees the trace of another but who may see everything there: it tells which documents were found."""
    if "operator" in principal.scopes or trace.owner == (principal.tenant, principal.subject):
        return True
    return "admin" in principal.scopes and trace.owner is not None and trace.owner[0] == principal.tenant


def _own(span: FinishedSpan, trace: FinishedTrace) -> FinishedSpan:
    """A shared batch without the traces of others."""
    return replace(span, links=tuple(link for link in span.links if link[0] == trace.trace_id))


def _summary(trace: FinishedTrace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "request_id": trace.request_id,
        "name": trace.name,
        "started_s": trace.started_ns / 1e9,
        "duration_s": trace.duration_ns / 1e9,
        "error": trace.error,
        "n_spans": len(trace.spans),
    }


def _bodies(spans: tuple[FinishedSpan, ...], trace: FinishedTrace) -> tuple[SpanBody, ...]:
    return tuple(
        SpanBody(
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=span.name,
            kind=span.kind,
            start_s=(span.started_ns - trace.started_ns) / 1e9,
            duration_s=span.duration_ns / 1e9,
            attributes=span.attributes,
            links=span.links,
            error=span.error,
        )
        for span in spans
    )
