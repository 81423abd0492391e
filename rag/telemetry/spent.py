"""What the model calls of one request came to: tokens and money, whoever made them on its behalf."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol

from msgspec import Struct

from rag.base.types import Prompt, Usage


class Spent(Struct, kw_only=True):
    """The sum over calls. `cost_usd` is None once a call was made whose price nobody knows."""

    n_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0

    def add(self, usage: Usage, cost_usd: float | None) -> None:
        """One more call."""
        self.n_calls += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost_usd = None if cost_usd is None or self.cost_usd is None else self.cost_usd + cost_usd


class Tariff(Protocol):
    """What is charged for calls of a model."""

    def cost(self, usage: Usage) -> int:
        """In micro-dollars."""
        ...

    def estimate(self, prompt: Prompt, written: str) -> Usage:
        """The likely usage of a call that was cut off after so much text."""
        ...


MICROUSD = 1_000_000

SPENT: ContextVar[Spent | None] = ContextVar("groundwire_spent", default=None)
"""Where the calls of the request that goes on here are summed; None outside of one."""

Price = Callable[[Usage], float | None]


def price_of(tariff: Tariff | None) -> Price:
    """What usage costs in USD; None where nobody knows."""
    return lambda usage: None if tariff is None else tariff.cost(usage) / MICROUSD
