"""GET /metrics, and the count of every HTTP request."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.types import Message, Scope

from rag.compose import Services
from rag.serve.guards import WATCHES
from rag.serve.reference import refusals
from rag.telemetry import names
from rag.telemetry.metrics import CONTENT_TYPE, OPENMETRICS_TYPE, Metrics

_METHODS: Final = frozenset(method.value for method in HttpMethod)
"""Whoever asks names the method, before any key is looked at, and every name would be a series for good."""


@get(
    "/metrics",
    tags=["health"],
    summary="Numbers for Prometheus",
    opt=WATCHES,
    media_type=CONTENT_TYPE,
    responses=refusals(403),
)
async def metrics(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> Response[bytes]:
    """The metrics of this process in Prometheus's text format; `docs/metrics.md` has the catalogue.

    Asked for OpenMetrics (`Accept`), histograms of questions carry the ids of traces as examples.
    """
    await services.metrics.refresh()
    openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
    told = services.metrics.exposition(openmetrics=openmetrics)
    return Response(told, media_type=OPENMETRICS_TYPE if openmetrics else CONTENT_TYPE)


def counting(numbers: Metrics) -> Callable[[Message, Scope], Awaitable[None]]:
    """A hook that counts each response once, under its route's template and never under the path itself."""

    async def count(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            method, route = str(scope.get("method")), str(scope.get("path_template") or "other")
            known = method if method in _METHODS else "other"
            numbers.add(names.HTTP_REQUESTS, known, route, str(message["status"]))

    return count
