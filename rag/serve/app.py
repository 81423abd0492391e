"""The web application: routes, and what holds for every one of them."""

from collections.abc import Mapping
from typing import Any

from litestar import Litestar
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.middleware import DefineMiddleware
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp, ControllerRouterHandler

from rag.compose import Services
from rag.serve import admin, backup, reindex
from rag.serve.anthropic.routes import anthropic_routes
from rag.serve.ask import ask_route
from rag.serve.bodies import BODY_TIMEOUT_S, JsonRequest
from rag.serve.cache import clear_cache, explain_cache, report_cache
from rag.serve.direct import direct
from rag.serve.documents import documents_router
from rag.serve.feedback import feedback
from rag.serve.guards import Doorkeeper, provide_principal, tell_standing
from rag.serve.health import livez, probe, readyz
from rag.serve.identity import name_response
from rag.serve.metrics import counting, metrics
from rag.serve.openai.routes import openai_routes
from rag.serve.problems import respond
from rag.serve.reference import openapi
from rag.serve.search import search_route
from rag.serve.traces import ObservedRequests, get_trace, list_traces


class App(Litestar):
    """Litestar without the plugins for pydantic and attrs, which it would load because they are installed.

    What asks for one of the paths in `direct` gets there without it.
    """

    direct: Mapping[str, ASGIApp] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        route = self.direct.get(scope["path"]) if scope["type"] == ScopeType.HTTP else None
        if route is None:
            await super().__call__(scope, receive, send)
        else:
            scope.setdefault("state", {})
            await route(scope, receive, send)

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def create_app(services: Services, *, version: str) -> Litestar:
    """The application over services that are open; it neither opens nor closes them. `version` is the one it tells."""

    def provide_services() -> Services:
        return services

    hooks = [name_response, tell_standing, counting(services.metrics)]
    routes = _routes(services)
    app = App(
        route_handlers=routes,
        dependencies={
            "services": Provide(provide_services, sync_to_thread=False),
            "principal": Provide(provide_principal, sync_to_thread=False),
        },
        middleware=_middleware(services),
        exception_handlers={Exception: respond},
        before_send=hooks,
        request_class=JsonRequest,
        request_max_body_size=services.limits.max_body_bytes,
        opt={BODY_TIMEOUT_S: services.limits.body_timeout_s},
        openapi_config=openapi(version, is_open=services.keys.is_open),
        logging_config=None,
        debug=False,
    )
    app.direct = direct(routes, services, hooks)
    return app


def _routes(services: Services) -> list[ControllerRouterHandler]:
    return [
        ask_route(services),
        search_route(services),
        feedback,
        documents_router(services.limits, services.parsers),
        report_cache,
        clear_cache,
        explain_cache,
        list_traces,
        get_trace,
        livez,
        readyz,
        probe,
        metrics,
        *admin.ROUTES,
        *reindex.ROUTES,
        backup.take_backup,
        *openai_routes(services),
        *anthropic_routes(services),
    ]


def _middleware(services: Services) -> list[DefineMiddleware]:
    """What every request goes through, in this order."""
    return [
        DefineMiddleware(Doorkeeper, keys=services.keys, book=services.book, meters=services.meters),
        DefineMiddleware(ObservedRequests, tracer=services.tracing.tracer),
    ]
