"""What a call costs: prices for a million tokens, from the settings or from a kept list, and sums in micro-dollars."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from rag.base.types import Usage

Dollars = Annotated[float, Meta(ge=0, le=1e6)]


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens. Tokens read from or written to the provider's cache cost as input if absent."""

    input_usd_per_mtok: Dollars
    output_usd_per_mtok: Dollars
    cached_usd_per_mtok: Dollars | None = None
    cache_write_usd_per_mtok: Dollars | None = None


class Tier(Rates, frozen=True, kw_only=True):
    """The rates of all of a call's tokens when its input has more than so many."""

    above_input_tokens: Annotated[int, Meta(ge=1)]


class Price(Rates, frozen=True, kw_only=True):
    """The price of a model. `tiers` are in rising order of `above_input_tokens`."""

    tiers: tuple[Tier, ...] = ()


FREE = Price(input_usd_per_mtok=0, output_usd_per_mtok=0)


def cost_microusd(price: Price, usage: Usage) -> int:
    """What a call cost, in micro-dollars, rounded up. A dollar for a million tokens is a micro-dollar for one."""
    rates = _rates(price, usage.input_tokens)
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    plain = max(0, usage.input_tokens - cached - written)
    total = (
        plain * rates.input_usd_per_mtok
        + cached * _or(rates.cached_usd_per_mtok, rates.input_usd_per_mtok)
        + written * _or(rates.cache_write_usd_per_mtok, rates.input_usd_per_mtok)
        + usage.output_tokens * rates.output_usd_per_mtok
    )
    return math.ceil(round(total, 6))  # a sum of floats may lie a hair over the whole number that it stands for


def bound_microusd(price: Price, input_tokens: int, output_tokens: int) -> int:
    """The most that a call can cost which reads and writes at most so many tokens, whatever is cached."""
    tiers = (price, *(tier for tier in price.tiers if tier.above_input_tokens < input_tokens))
    dearest = max(
        max(rates.input_usd_per_mtok, _or(rates.cached_usd_per_mtok, 0), _or(rates.cache_write_usd_per_mtok, 0))
        * input_tokens
        + rates.output_usd_per_mtok * output_tokens
        for rates in tiers
    )
    return math.ceil(round(dearest, 6))


def listed_price(model: str, base_url: str) -> Price | None:
    """The list price of a provider's model today, from genai-prices; None when it is not listed or not installed.

    The list is the one of the installed version: nothing is fetched.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ModuleNotFoundError:
        return None
    try:
        _, found = get_snapshot().find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    return _from_list(found.get_prices(datetime.now(UTC)))


def _from_list(listed: Any) -> Price | None:
    """The list's price in our terms; None for a model that is not priced by tokens alone."""
    names = {
        "input_usd_per_mtok": "input_mtok",
        "output_usd_per_mtok": "output_mtok",
        "cached_usd_per_mtok": "cache_read_mtok",
        "cache_write_usd_per_mtok": "cache_write_mtok",
    }
    found = {ours: getattr(listed, theirs, None) for ours, theirs in names.items()}
    if found["input_usd_per_mtok"] is None or found["output_usd_per_mtok"] is None:
        return None
    starts = sorted({tier.start for value in found.values() for tier in getattr(value, "tiers", ())})
    tiers = tuple(Tier(above_input_tokens=start, **_at(found, start + 1)) for start in starts)
    return Price(**_at(found, 0), tiers=tiers)


def _at(found: dict[str, Any], input_tokens: int) -> dict[str, Any]:
    """The rates that hold for so many tokens of input."""

    def rate(value: Any) -> float | None:
        passed = [tier.price for tier in getattr(value, "tiers", ()) if input_tokens > tier.start]
        chosen = passed[-1] if passed else getattr(value, "base", value)
        return None if chosen is None else float(chosen)

    return {name: rate(value) for name, value in found.items()}


def _rates(price: Price, input_tokens: int) -> Rates:
    passed = [tier for tier in price.tiers if input_tokens > tier.above_input_tokens]
    return passed[-1] if passed else price


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
