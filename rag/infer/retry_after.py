"""When a provider wants to be asked again, in every spelling that is in use."""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

MAX_RETRY_AFTER_S = 3600.0  # a longer wait is a quota, and a client that slept for it would have forgotten why

_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_MAX_DURATION_CHARS = 64  # finding one takes the square of the length
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESETS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)


class _Detail(Struct, frozen=True, rename="camel"):
    retry_delay: str | None = None


class _Error(Struct, frozen=True):
    details: list[_Detail] = []


class _Body(Struct, frozen=True):
    error: _Error = _Error()


def retry_after_s(headers: Mapping[str, str], body: bytes, now_s: float) -> float | None:
    """Seconds to wait, 0 to MAX_RETRY_AFTER_S, or None when the provider did not say.

    Read in this order, the first that makes sense wins: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after`
    (seconds or an HTTP date), Google's RetryInfo in the body, `x-ratelimit-reset-*` of what is used up. Times in the
    past, negative and absurd values are 0. `headers` has lower-case names; `now_s` is Unix time.
    """
    found: float | None = None
    for name in _MILLISECONDS:
        if found is None:
            found = _number(headers.get(name, ""), 1e-3)
    if found is None:
        found = _seconds_or_date(headers.get("retry-after", ""), now_s)
    if found is None:
        found = _retry_info(body)
    if found is None:
        found = _reset(headers)
    return None if found is None else _bounded(found)


def duration_s(text: str) -> float | None:
    """Seconds of a duration as Go and protobuf write it: `1s`, `6m0s`, `250ms`, `1.5s`; None for anything else."""
    if len(text) > _MAX_DURATION_CHARS:
        return None
    parts = list(_GO_DURATION.finditer(text.strip()))
    if not parts or "".join(part.group() for part in parts) != text.strip():
        return None
    return sum(float(part[1]) * _UNIT_S[part[2]] for part in parts)


def _bounded(seconds: float) -> float:
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _number(text: str, unit_s: float = 1.0) -> float | None:
    try:
        return float(text) * unit_s
    except ValueError:
        return None


def _seconds_or_date(text: str, now_s: float) -> float | None:
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return duration_s(text)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s


def _retry_info(body: bytes) -> float | None:
    try:
        details = msgspec.json.decode(body, type=_Body).error.details
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return next((duration_s(detail.retry_delay) for detail in details if detail.retry_delay), None)


def _reset(headers: Mapping[str, str]) -> float | None:
    """The reset of the allowance that is used up; Azure's -1 and a missing count mean that it is not known."""
    waits = [_reset_s(headers.get(reset, "")) for left, reset in _RESETS if _number(headers.get(left, "")) == 0]
    return max((wait for wait in waits if wait is not None), default=None)


def _reset_s(text: str) -> float | None:
    seconds = _number(text)
    return duration_s(text) if seconds is None else seconds
