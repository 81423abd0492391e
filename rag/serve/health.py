"""GET /livez and /readyz, for whoever restarts the process and whoever routes to it."""

from typing import Any

from litestar import Request, get, head
from litestar.di import NamedDependency
from msgspec import Struct

from rag.base.errors import Unavailable
from rag.compose import Services
from rag.serve.guards import PUBLIC
from rag.serve.reference import refusals


class StateBody(Struct, frozen=True):
    """The one word that a probe looks for."""

    status: str


@get("/livez", tags=["health"], summary="Is the process alive?", opt=PUBLIC, security=[{}], sync_to_thread=False)
def livez() -> StateBody:
    """Answers as long as the event loop turns."""
    return StateBody("alive")


@get(
    "/readyz",
    tags=["health"],
    summary="May requests be sent here?",
    opt=PUBLIC,
    security=[{}],
    responses=refusals(503, public=True),
    sync_to_thread=False,
)
def readyz(services: NamedDependency[Services]) -> StateBody:
    """Answers 200 once the models are warm, and 503 with what is missing before that and from the first SIGTERM on."""
    failing = services.health.failing()
    if failing:
        raise Unavailable(f"not ready: {', '.join(failing)}")
    return StateBody("ready")


@head(["/livez", "/readyz"], opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def probe(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> None:
    """The same without a body, for probes that ask so."""
    if request.url.path == "/readyz":
        readyz.fn(services)
