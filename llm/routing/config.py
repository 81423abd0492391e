"""What a route is configured with: its targets, their order and shares, and what follows which failure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from llm.config import Seconds
from llm.routing.parameters import NO_PARAMETERS, Parameters
from rag.base.errors import ConfigError
from rag.base.template import Reference, References

Balancer = Literal["latency", "weighted", "least_in_flight", "cost"]
Name = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(gt=0, le=1)]


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a route. A lower `order` is tried first; within an order, `weight` shares the traffic."""

    model: Name
    weight: Annotated[float, Meta(ge=0)] = 1.0
    order: Annotated[int, Meta(ge=1, le=100)] = 1
    region: str | None = None
    context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """What fits into it, prompt and answer together; longer prompts go elsewhere."""


class FallbackConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models or routes to go on with when the targets have failed, by how they failed, in this order."""

    default: tuple[Name, ...] = ()
    rate_limit: tuple[Name, ...] = ()
    """Instead of `default` when rate limits are what is in the way."""
    context_length: tuple[Name, ...] = ()
    content_policy: tuple[Name, ...] = ()


class SummaryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who summarises what is too long of a history, and how much that may take. `model` is a model or a route."""

    model: Name
    prompt: Reference = "summary"
    max_tokens: Annotated[int, Meta(ge=64, le=4_096)] = 400
    timeout_s: Seconds = 10.0


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One name for several models. The limits hold for a request as a whole: over retries, keys, targets and hedges."""

    targets: Annotated[tuple[TargetConfig, ...], Meta(min_length=1)]
    on: FallbackConfig = FallbackConfig()
    balancer: Balancer = "latency"
    regions: tuple[str, ...] = ()
    """Only targets of these regions; empty means all."""
    max_attempts: Annotated[int, Meta(ge=1, le=20)] = 4
    timeout_s: Seconds = 120.0
    max_wait_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    """How long a request waits, all in all, for a target to become available again."""
    hedge_after_s: Seconds | None = None
    """A second target is asked when the first has said nothing for so long; whoever speaks first answers."""
    parameters: Parameters = NO_PARAMETERS
    prompt: Reference | None = None
    """What is asked when it writes answers from the documents; `answer.prompt` where it says nothing."""
    allowed_prompts: tuple[References, ...] | None = None
    summary: SummaryConfig | None = None
    """What stands for turns that `parameters.history_tokens` has no room for; without it they are left out."""
    prefix_affinity: bool = False
    """Prompts that begin alike go to the same target while it keeps up, for the sake of its prompt cache."""


class RoutingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for all routes: when a target counts as broken, how it comes back, how many retries there may be.

    A target is left alone (its breaker opens) after `consecutive_failures`, or when of at least `min_calls` within
    `window_s` the share that failed reaches `failure_share`, or the share that was slow reaches `slow_share`.
    """

    window_s: Annotated[float, Meta(gt=0, le=600)] = 10.0
    min_calls: Annotated[int, Meta(ge=1)] = 10
    failure_share: Share = 0.5
    consecutive_failures: Annotated[int, Meta(ge=1)] = 5
    slow_first_token_s: Seconds = 20.0
    slow_share: Share = 0.8
    open_s: Seconds = 1.0
    """How long it is left alone the first time; doubled each time that it fails again at once."""
    max_open_s: Seconds = 8.0
    probes: Annotated[int, Meta(ge=1, le=100)] = 2
    """Calls, one at a time, that must go well before it is back."""
    ramp_s: Annotated[float, Meta(ge=0, le=600)] = 4.0
    """How long it then takes until it has its full share again."""
    retry_tokens: Annotated[float, Meta(ge=0)] = 500.0
    """How many more attempts than requests there may be in a burst."""
    retry_ratio: Annotated[float, Meta(ge=0, le=10)] = 0.2
    """How many more attempts than requests there may be in the long run, as a share of the requests."""


def check_routes(routes: Mapping[str, RouteConfig], models: Collection[str]) -> None:
    """Raises ConfigError with the path of the first fault: a name that is not there or taken, weights, a cycle."""
    for name, route in routes.items():
        if name in models:
            raise ConfigError(f"setting $.routes.{name}: a model has this name too", path=f"$.routes.{name}")
        _check_targets(name, route, models)
        _check_summary(name, route)
        for path, wanted in (*_listed(name, route), *_summarising(name, route)):
            if wanted not in models and wanted not in routes:
                known = ", ".join(sorted({*models, *routes}))
                raise ConfigError(
                    f"setting {path}: there is no model or route '{wanted}'; there is: {known}", path=path
                )
    for name in routes:
        _check_cycle(routes, (name,))


def _check_targets(name: str, route: RouteConfig, models: Collection[str]) -> None:
    path = f"$.routes.{name}.targets"
    seen: set[str] = set()
    for number, target in enumerate(route.targets):
        place = f"{path}[{number}].model"
        if target.model not in models:
            known = ", ".join(sorted(models))
            raise ConfigError(f"setting {place}: there is no model '{target.model}'; there is: {known}", path=place)
        if target.model in seen:
            raise ConfigError(f"setting {place}: '{target.model}' is a target already; raise its weight", path=place)
        seen.add(target.model)
    for order in {target.order for target in route.targets}:
        if not any(target.weight > 0 for target in route.targets if target.order == order):
            raise ConfigError(f"setting {path}: the weights of order {order} are all 0", path=path)
    if route.regions and not any(target.region in route.regions for target in route.targets):
        path = f"$.routes.{name}.regions"
        raise ConfigError(f"setting {path}: no target is in one of these regions", path=path)


def _check_summary(name: str, route: RouteConfig) -> None:
    if route.summary is None:
        return
    path, room = f"$.routes.{name}.summary", route.parameters.history_tokens
    if room is None or room < 2 * route.summary.max_tokens:
        raise ConfigError(
            f"setting {path}: it needs parameters.history_tokens, of at least twice summary.max_tokens "
            f"({route.summary.max_tokens}); it is {room or 'not set'}",
            path=path,
        )


def _summarising(name: str, route: RouteConfig) -> Iterator[tuple[str, str]]:
    if route.summary is not None:  # which may be the route itself: what is to be summarised has no history
        yield f"$.routes.{name}.summary.model", route.summary.model


def _listed(name: str, route: RouteConfig) -> Iterator[tuple[str, str]]:
    for kind in FallbackConfig.__struct_fields__:
        for number, wanted in enumerate(getattr(route.on, kind)):
            yield f"$.routes.{name}.on.{kind}[{number}]", wanted


def _check_cycle(routes: Mapping[str, RouteConfig], way: tuple[str, ...]) -> None:
    for path, wanted in _listed(way[-1], routes[way[-1]]):
        if wanted in way:
            circle = " -> ".join((*way[way.index(wanted) :], wanted))
            raise ConfigError(f"setting {path}: the fallbacks go in a circle: {circle}", path=path)
        if wanted in routes:
            _check_cycle(routes, (*way, wanted))
