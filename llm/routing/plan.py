"""All that a route may come to, laid out once: its own targets by order, then the fallbacks by kind of failure."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from llm.routing.config import FallbackConfig, RouteConfig, TargetConfig
from llm.routing.target import Target

List = Literal["targets", "default", "rate_limit", "context_length", "content_policy"]
_AFTER_TARGETS: Final = 1_000


class Choice(Struct, frozen=True, kw_only=True, eq=False):
    """A target in its place in one route; `bar` says why it is never used there."""

    target: Target
    tier: int
    listed: List
    weight: float = 1.0
    context_tokens: int | None = None
    bar: str | None = None


Plan = Mapping[List, tuple[Choice, ...]]
"""The choices of each list; "targets" has at least one, the others may be empty."""


def plan_of(name: str, routes: Mapping[str, RouteConfig], targets: Mapping[str, Target]) -> Plan:
    """The plan of a route that `check_routes` found no fault with."""
    route = routes[name]
    plan: dict[List, tuple[Choice, ...]] = {"targets": tuple(_own(route, "targets", 0, targets))}
    kinds: tuple[List, ...] = ("default", "rate_limit", "context_length", "content_policy")
    for kind in kinds:
        plan[kind] = tuple(_once(_fallbacks(route.on, kind, _AFTER_TARGETS, routes, targets)))
    return plan


def _own(route: RouteConfig, listed: List, first_tier: int, targets: Mapping[str, Target]) -> Iterator[Choice]:
    for target in route.targets:
        yield Choice(
            target=targets[target.model],
            tier=first_tier + target.order,
            listed=listed,
            weight=target.weight,
            context_tokens=target.context_tokens,
            bar=_bar(route, target),
        )


def _bar(route: RouteConfig, target: TargetConfig) -> str | None:
    if route.regions and target.region not in route.regions:
        return "region"
    return None if target.weight else "weight"


def _fallbacks(
    on: FallbackConfig, kind: List, tier: int, routes: Mapping[str, RouteConfig], targets: Mapping[str, Target]
) -> Iterator[Choice]:
    """A model is a tier of its own; a route brings its targets and then its own fallbacks for the same failure."""
    for name in getattr(on, kind):
        if name in targets:
            tier += 1
            yield Choice(target=targets[name], tier=tier, listed=kind)
            continue
        route = routes[name]
        yield from _own(route, kind, tier, targets)
        tier += max(target.order for target in route.targets)
        for choice in _fallbacks(route.on, kind, tier, routes, targets):
            tier = max(tier, choice.tier)
            yield choice


def _once(choices: Iterator[Choice]) -> Iterator[Choice]:
    """Each target in its first place only."""
    seen: set[str] = set()
    for choice in choices:
        if choice.target.name not in seen:
            seen.add(choice.target.name)
            yield choice
