"""The keys of one target: which of them may be used now, and what a refusal does to one.

A rate limit cools the key it was said to, for as long as the provider says. Missing credit and refused credentials put
it into quarantine: for a minute, then twice as long each time that it is refused again, and after each of them a single
request tries it. Both hold for all requests. What is left of its rate limits is counted down between two responses that
tell it, so that a key is left alone before it is refused.
"""

from random import Random
from typing import Final

from llm.allowance import Allowance, Allowances
from rag.base.ports import ChatModel

COOL_S: Final = 1.0  # for a rate limit that does not say how long, or says 0; doubled while it goes on, hint or not
MAX_COOL_S: Final = 60.0  # the limits are per minute; a longer hint is tried again all the same
QUARANTINE_S: Final = 60.0
MAX_QUARANTINE_S: Final = 300.0  # who pays a bill does not want to wait for long


class Key:
    """One credential of a target, by its label, and the model that speaks with it."""

    def __init__(self, label: str, model: ChatModel) -> None:
        self.label = label
        self.model = model
        self.n_in_flight = 0
        self._barred_until_s = float("-inf")
        self._reason = ""
        self._n_strikes = 0
        self._is_probing = False
        self._requests: Allowance | None = None
        self._tokens: Allowance | None = None
        self._told_at_s = 0.0

    def bar(self, n_tokens: int, now_s: float) -> tuple[str, float] | None:
        """Why it may not be used for a prompt of that many tokens and for how many seconds; None when it may."""
        if now_s < self._barred_until_s:
            return self._reason, self._barred_until_s - now_s
        if self._reason == "quarantined" and self._is_probing:
            return self._reason, 0.0
        for allowance, needed in ((self._requests, 1), (self._tokens, n_tokens)):
            if allowance is not None and allowance.remaining < needed:
                left_s = self._told_at_s + allowance.reset_s - now_s
                if left_s > 0:
                    return "used_up", left_s
        return None

    def began(self, n_tokens: int) -> None:
        """A call goes out with it."""
        self.n_in_flight += 1
        self._is_probing = self._reason == "quarantined"
        if self._requests is not None:
            self._requests = Allowance(self._requests.remaining - 1, self._requests.reset_s)
        if self._tokens is not None:
            self._tokens = Allowance(self._tokens.remaining - n_tokens, self._tokens.reset_s)

    def ended(self) -> None:
        """The call is over."""
        self.n_in_flight -= 1
        self._is_probing = False

    def told(self, left: Allowances, now_s: float) -> None:
        """A response told what is left."""
        if left.requests is not None or left.tokens is not None:
            self._requests, self._tokens, self._told_at_s = left.requests, left.tokens, now_s

    def accepted(self, now_s: float) -> None:
        """A call went well: what was held against the key is forgotten, unless it was said after the call went out."""
        if now_s >= self._barred_until_s:
            self._reason, self._n_strikes = "", 0

    def cool(self, hint_s: float | None, now_s: float, rng: Random) -> None:
        """A rate limit. A hint of 0 or none waits by itself, longer each time; a chance part keeps requests apart."""
        self._bar("rate_limited", (hint_s or 0.0) * (1.0 + 0.1 * rng.random()), COOL_S, MAX_COOL_S, now_s)

    def quarantine(self, now_s: float) -> None:
        """No credit, or refused credentials."""
        self._bar("quarantined", 0.0, QUARANTINE_S, MAX_QUARANTINE_S, now_s)

    def _bar(self, reason: str, hint_s: float, base_s: float, limit_s: float, now_s: float) -> None:
        """Refusals of calls that were out together count once."""
        if reason != self._reason or now_s >= self._barred_until_s:
            self._n_strikes = self._n_strikes + 1 if reason == self._reason else 1
        self._reason = reason
        grown_s = base_s * 2.0 ** min(self._n_strikes - 1, 10)
        wait_s = min(hint_s if hint_s > 0 and self._n_strikes == 1 else max(hint_s, grown_s), limit_s)
        self._barred_until_s = max(self._barred_until_s, now_s + wait_s)


def pick(keys: tuple[Key, ...], n_tokens: int, now_s: float, affinity: int | None = None) -> Key | None:
    """The key to use: of those that may be used the one with the fewest calls in flight; None when none may.

    With `affinity`, equal numbers get the same key as long as it may be used.
    """
    free = [key for key in keys if key.bar(n_tokens, now_s) is None]
    if not free:
        return None
    if affinity is not None:
        return free[affinity % len(free)]
    return min(free, key=lambda key: key.n_in_flight)


def bar_of(keys: tuple[Key, ...], n_tokens: int, now_s: float) -> tuple[str, float] | None:
    """Why no key may be used, and in how many seconds the first may be; None when one may."""
    bars = [key.bar(n_tokens, now_s) for key in keys]
    return None if None in bars else min((bar for bar in bars if bar), key=lambda bar: bar[1])
