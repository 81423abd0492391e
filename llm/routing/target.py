"""One target: a model with its keys, its health and its load. Shared by all routes that name it."""

from msgspec import Struct

from llm.abilities import Ability
from llm.prices import Price
from llm.routing.breaker import Breaker
from llm.routing.keys import Key
from llm.routing.load import Load


class Target(Struct, frozen=True, kw_only=True, eq=False):
    """`name` is its entry under `[models]`, `model` what its provider calls it; `keys` has at least one.

    `lacks` is what its API has no place for.
    """

    name: str
    provider: str
    model: str
    keys: tuple[Key, ...]
    breaker: Breaker
    load: Load
    price: Price | None = None
    lacks: frozenset[Ability] = frozenset()
