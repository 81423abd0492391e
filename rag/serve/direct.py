"""The short way to plain ASGI routes, past the framework: the same guards, traces, hooks and answers to failures.

Litestar looks for the route, puts a sender of its own into each layer and asks every hook about every message. A call
of a model is in and out in less time than that takes, so a path that is a route's to the letter is not looked for.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeAlias

from litestar import Response
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from rag.compose import Services
from rag.serve.bodies import JsonRequest
from rag.serve.guards import Doorkeeper
from rag.serve.problems import respond
from rag.serve.traces import ObservedRequests

Hook: TypeAlias = Callable[[Message, Scope], Awaitable[None]]
"""What is asked before a message is sent."""

_HAS_BEGUN: Final = "groundwire_has_begun"


def direct(routes: Iterable[object], services: Services, hooks: Iterable[Hook]) -> Mapping[str, ASGIApp]:
    """Every plain route of `routes` by its path, with what the application has around it."""
    plain = [route for route in routes if isinstance(route, ASGIRouteHandler)]
    return {path: _open(route, path, services, tuple(hooks)) for route in plain for path in route.paths}


def _open(route: ASGIRouteHandler, path: str, services: Services, hooks: tuple[Hook, ...]) -> ASGIApp:
    observed = ObservedRequests(_Answered(route, route.fn), services.tracing.tracer)
    guarded = Doorkeeper(observed, services.keys, services.book, services.meters)
    answered = _Answered(route, guarded)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_handler"], scope["path_template"] = route, path

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["state"][_HAS_BEGUN] = True
                for hook in hooks:
                    await hook(message, scope)
            await send(message)

        await answered(scope, receive, sending)

    return serve


class _Answered:
    """A failure before the response has begun is answered as the route answers failures; a later one goes on."""

    def __init__(self, route: ASGIRouteHandler, app: ASGIApp) -> None:
        self._respond: Callable[..., Response[bytes]] = (route.exception_handlers or {}).get(Exception, respond)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if _HAS_BEGUN in scope["state"]:
                raise
            request = JsonRequest(scope, receive, send)
            response = self._respond(request, error)
            await response.to_asgi_response(app=None, request=request)(scope, receive, send)
