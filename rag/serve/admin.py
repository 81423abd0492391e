"""What operators look at and change while the server runs: routes, and the settings that lead to models."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from llm.routing.decision import Decision
from rag.base.errors import ConfigError, InvalidInput
from rag.base.types import Principal, Prompt
from rag.compose import Services
from rag.serve.bodies import locate
from rag.serve.guards import OPERATES, WATCHES
from rag.serve.reference import refusals
from rag.serve.wire import Body, convert
from rag.settings import exchanged, shown

MAX_PROMPT_TOKENS = 10_000_000


class CandidateBody(Struct, frozen=True, kw_only=True):
    """One target in the running, or out of it."""

    target: str
    model: str
    listed: str
    tier: int
    excluded: str | None
    ready_in_s: float | None
    breaker: Literal["closed", "half_open", "open"]
    weight: float
    share: float
    n_in_flight: int
    expected_s: float | None
    cost_usd: float | None
    score: float | None


class RouteBody(Struct, frozen=True, kw_only=True):
    """Who would be asked now, and why."""

    route: str
    chosen: str | None
    reason: str
    candidates: tuple[CandidateBody, ...]


class RoutesBody(Struct, frozen=True, kw_only=True):
    """Every route and every model that can be asked by its own name."""

    routes: tuple[RouteBody, ...]


class ExchangeBody(Body, frozen=True):
    """Sections of the settings; their members are those of the settings file."""

    models: dict[str, dict[str, Any]] | UnsetType = UNSET
    routes: dict[str, dict[str, Any]] | UnsetType = UNSET
    routing: dict[str, Any] | UnsetType = UNSET
    prompts: dict[str, dict[str, Any]] | UnsetType = UNSET
    accounts: dict[str, dict[str, Any]] | UnsetType = UNSET


class ChangedBody(Struct, frozen=True, kw_only=True):
    """The sections that were exchanged."""

    changed: tuple[str, ...]


@get(
    "/admin/routes",
    tags=["operations"],
    summary="All routes as they are now",
    opt=WATCHES,
    responses=refusals(),
    sync_to_thread=False,
)
def list_routes(services: NamedDependency[Services], principal: NamedDependency[Principal]) -> RoutesBody:
    """Gives, for each model and route, who would be asked for a short prompt now, and why."""
    prompt = _prompt(principal, 0, 256)
    return RoutesBody(
        routes=tuple(_body(name, services.registry.explain(name, prompt)) for name in sorted(services.registry))
    )


@get(
    "/admin/routes/{name:str}",
    tags=["operations"],
    summary="Explain a route",
    opt=WATCHES,
    responses=refusals(404, 422),
    sync_to_thread=False,
)
def explain_route(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    name: FromPath[str],
    prompt_tokens: Annotated[int, QueryParameter(ge=0, le=MAX_PROMPT_TOKENS)] = 0,
    max_tokens: Annotated[int, QueryParameter(ge=1, le=MAX_PROMPT_TOKENS)] = 256,
) -> RouteBody:
    """A dry run: every candidate with what keeps it out and what speaks for it. Asks nobody and changes nothing."""
    return _body(name, services.registry.explain(name, _prompt(principal, prompt_tokens, max_tokens)))


@get(
    "/admin/config",
    tags=["operations"],
    summary="The settings in force",
    opt=OPERATES,
    responses=refusals(),
    sync_to_thread=False,
)
def show_config(services: NamedDependency[Services]) -> dict[str, Any]:
    """The effective settings with credentials as `***`."""
    settings: dict[str, Any] = msgspec.json.decode(shown(services.reloader.settings))
    return settings


@put(
    "/admin/config",
    tags=["operations"],
    summary="Exchange models and routes",
    opt=OPERATES,
    responses=refusals(body=True),
)
async def put_config(data: JSONBody[ExchangeBody], services: NamedDependency[Services]) -> ChangedBody:
    """Takes `models`, `routes`, `routing`, `prompts` and `accounts` as the settings file has them, in JSON.

    What is absent stays.

    It is checked as a whole and put into force in one step; requests in flight end with what they began with. It holds
    until the settings file changes or the server ends.
    """
    tree = {name: getattr(data, name) for name in data.__struct_fields__ if getattr(data, name) is not UNSET}
    try:
        changed = await services.reloader.take(exchanged(services.reloader.settings, tree))
    except ConfigError as error:
        raise InvalidInput(str(error), pointer=locate(f" - at `{error.path}`")[1]) from error
    return ChangedBody(changed=changed)


def _prompt(principal: Principal, n_tokens: int, max_tokens: int) -> Prompt:
    return Prompt(
        tenant=principal.tenant,
        messages=(),
        template="",
        n_tokens=n_tokens,
        question="",
        sources=(),
        max_tokens=max_tokens,
        temperature=None,
    )


def _body(name: str, decision: Decision) -> RouteBody:
    chosen = None if decision.chosen is None else decision.candidates[decision.chosen].target
    candidates = convert(decision.candidates, tuple[CandidateBody, ...])
    return RouteBody(route=name, chosen=chosen, reason=decision.reason, candidates=candidates)


ROUTES: Final = (list_routes, explain_route, show_config, put_config)
