"""What is left of a key's rate limits, as the headers of a response tell it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from rag.infer.retry_after import duration_s

MAX_RESET_S = 120.0  # the limits are per minute; what claims to last longer is not believed

_PARTS = ("remaining", "limit", "reset")
_REQUESTS = tuple(
    tuple(pattern.format(part) for part in _PARTS)
    for pattern in ("x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}")
)
_TOKENS = tuple(
    tuple(pattern.format(part) for part in _PARTS)
    for pattern in ("x-ratelimit-{}-tokens", "anthropic-ratelimit-tokens-{}", "anthropic-ratelimit-input-tokens-{}")
)


class Allowance(Struct, frozen=True):
    """How many are left, and in how many seconds there will be more."""

    remaining: float
    reset_s: float


class Allowances(Struct, frozen=True, kw_only=True):
    """What a response tells; None where it does not."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


def allowances(headers: Mapping[str, str], unix_s: float) -> Allowances:
    """Reads OpenAI's headers (and all who imitate them) and Anthropic's; `headers` has lower-case names.

    The scarcest of several wins. Negative counts and limits of 0, which Azure sends for "unknown", tell nothing, and
    neither does a count without a time of reset.
    """
    return Allowances(requests=_scarcest(headers, _REQUESTS, unix_s), tokens=_scarcest(headers, _TOKENS, unix_s))


def _scarcest(headers: Mapping[str, str], named: tuple[tuple[str, ...], ...], unix_s: float) -> Allowance | None:
    told = [_told(headers, names, unix_s) for names in named if names[0] in headers]
    return min((one for one in told if one), key=lambda one: one.remaining, default=None)


def _told(headers: Mapping[str, str], names: tuple[str, ...], unix_s: float) -> Allowance | None:
    """What the headers of these names tell; they are those of `_PARTS`."""
    remaining = _number(headers.get(names[0], ""))
    limit = _number(headers.get(names[1], "1"))
    reset_s = _reset_s(headers.get(names[2], ""), unix_s)
    if remaining is None or remaining < 0 or not limit or limit < 0 or reset_s is None:
        return None
    return Allowance(remaining, min(max(reset_s, 0.0), MAX_RESET_S))


def _number(text: str) -> float | None:
    """A plain count; None for anything else, infinities and NaN included."""
    return float(text) if text.isascii() and text.removeprefix("-").isdecimal() else None


def _reset_s(text: str, unix_s: float) -> float | None:
    """Seconds from a Go-like duration (`6m0s`), a count of seconds or an RFC 3339 time."""
    if not text:
        return None
    seconds = _number(text)
    if seconds is None:
        seconds = duration_s(text)
    if seconds is not None:
        return seconds
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - unix_s
