"""Targets under the test's control, in simulated time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import count
from random import Random

from llm.abilities import Ability
from llm.failures import Failure, FailureKind, as_error
from llm.prices import Price
from llm.routing.attempt import Instruments
from llm.routing.breaker import Breaker
from llm.routing.calls import Calls
from llm.routing.config import RouteConfig, RoutingConfig, TargetConfig
from llm.routing.keys import Key
from llm.routing.load import Load
from llm.routing.pacing import RetryPurse
from llm.routing.plan import plan_of
from llm.routing.report import AttemptReport
from llm.routing.request import MAX_WAITING, Route
from llm.routing.router import Router
from llm.routing.target import Target
from rag.base.deadline import Deadline
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage
from tests.prompts import a_prompt
from tests.simulated import now_s

PROMPT = a_prompt("When did the embargo begin?", "The embargo began in October 1973.")
FAST = 0.1  # seconds to the first token

Act = Exception | ModelEvent | float
"""What a model does next: raises, gives, or waits."""


def refusal(kind: FailureKind, status: int = 500, retry_after_s: float | None = None) -> Exception:
    return as_error(Failure(kind=kind, status=status, retry_after_s=retry_after_s), "model 'm'")


def says(*words: str, first_s: float = FAST, each_s: float = 0.01) -> list[Act]:
    """An answer that goes well."""
    acts: list[Act] = [first_s]
    for word in words:
        acts += [TextDelta(text=word), each_s]
    return [*acts, Usage(input_tokens=20, output_tokens=len(words)), Finished(reason="stop", model="m")]


class Actor:
    """A model that plays a script for each call: the next of `scripts`, the last one for ever."""

    def __init__(self, name: str, *scripts: list[Act] | Callable[[], list[Act]]) -> None:
        self.name = name
        self.scripts = list(scripts) or [says("fine", " then")]
        self.n_calls = 0
        self.n_open = 0
        self.n_cancelled = 0

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        script = self.scripts[min(self.n_calls, len(self.scripts) - 1)]
        self.n_calls += 1
        self.n_open += 1
        try:
            for act in script() if callable(script) else script:
                if isinstance(act, Exception):
                    raise act
                if isinstance(act, float | int):
                    await asyncio.sleep(act)
                else:
                    yield act
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        finally:
            self.n_open -= 1


class Stage:
    """Targets made of actors, a router over them, and what it reported."""

    def __init__(
        self,
        *actors: Actor | tuple[Actor, ...],
        config: RouteConfig | None = None,
        routing: RoutingConfig = RoutingConfig(),  # noqa: B008 - frozen
        routes: dict[str, RouteConfig] | None = None,
        prices: Iterable[Price | None] = (),
        lacks: Mapping[str, frozenset[Ability]] | None = None,
        name: str = "route:r",
    ) -> None:
        """Several actors in a tuple are the keys of one target, whose name is that of the first."""
        self.reports: list[AttemptReport] = []
        listed = dict(enumerate(prices))
        self.targets: dict[str, Target] = {}
        for at, given in enumerate(actors):
            keyed = given if isinstance(given, tuple) else (given,)
            self.targets[keyed[0].name] = Target(
                name=keyed[0].name,
                provider="openai",
                model=f"model-{keyed[0].name}",
                keys=tuple(Key(actor.name, actor) for actor in keyed),
                breaker=Breaker(routing),
                load=Load(),
                price=listed.get(at),
                lacks=(lacks or {}).get(keyed[0].name, frozenset()),
            )
        self.config = config or RouteConfig(targets=tuple(TargetConfig(model=name) for name in self.targets))
        self.route = Route(
            name="r",
            plan=plan_of("r", {"r": self.config, **(routes or {})}, self.targets),
            config=self.config,
            purse=RetryPurse(routing.retry_tokens, routing.retry_ratio),
            instruments=Instruments(
                clock=now_s,
                rng=Random(7),
                on_attempt=self.reports.append,
                slow_first_token_s=routing.slow_first_token_s,
            ),
            waiting=asyncio.Semaphore(MAX_WAITING),
        )
        self.router = Router(self.route, name, Calls())

    async def ask(self, prompt: Prompt = PROMPT, within_s: float = 30.0) -> str:
        """The text of a whole answer."""
        return text_of(await self.events(prompt, within_s))

    async def events(self, prompt: Prompt = PROMPT, within_s: float = 30.0) -> list[ModelEvent]:
        return [event async for event in self.router.stream(prompt, Deadline.after(within_s, now_s))]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Who was asked, and what it came to."""
        return [(report.target, report.outcome) for report in self.reports]


def ordered(*names: str, **changes) -> RouteConfig:
    """A route that tries the names one after the other."""
    targets = tuple(TargetConfig(model=name, order=order) for order, name in zip(count(1), names, strict=False))
    return RouteConfig(targets=targets, **changes)


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
