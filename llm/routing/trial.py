"""What one request has tried so far, and whom it may try next."""

from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from llm.abilities import Ability, needs
from llm.prices import cost_microusd
from llm.routing.attempt import Attempt
from llm.routing.decision import Candidate
from llm.routing.keys import bar_of
from llm.routing.outcomes import REACTIONS, FailedOutcome, hint_s
from llm.routing.pacing import pause_s
from llm.routing.plan import Choice, List, Plan
from rag.base.types import Prompt, Usage

LIKELY_TOKENS: Final = 256  # an answer is rarely as long as it may be
_AGAIN: Final = 500  # tiers by which a target that has failed once stands behind the others of its list
_FIRST: Final = 0  # the tier of a target whose other keys are to be tried before anybody else
NEVER: Final = ("region", "weight", "abilities")
"""Why a target is out that would not be in whatever happened."""
_OF_KEYS: Final = frozenset({"rate_limited", "used_up"})


class Failed(Struct, frozen=True):
    """What a target has done to this request, and when it may be asked again; never where that is None."""

    outcome: FailedOutcome
    n_times: int
    again_at_s: float | None


class Trial:
    """The failures of one request and what follows from them. Decides by the time and the targets as they are given.

    `with_cost`: the candidates say what they would cost, for whoever compares that or looks at it.
    """

    def __init__(self, plan: Plan, prompt: Prompt, *, with_cost: bool) -> None:
        self.attempts: list[Attempt] = []
        self.is_over = False
        self._plan = plan
        self._with_cost = with_cost
        self._n_tokens = prompt.n_tokens
        self._max_tokens = LIKELY_TOKENS if prompt.max_tokens is None else prompt.max_tokens
        self._needs = _needs(plan, prompt)
        self._list: List = "targets"
        self._failed: dict[str, Failed] = {}

    def failed(self, attempt: Attempt, now_s: float, rng: Random) -> None:
        """An attempt came to nothing."""
        outcome, name = attempt.failed_as, attempt.target.name
        assert outcome is not None, "only what failed is a failure"
        self.attempts.append(attempt)
        reaction, before = REACTIONS[outcome], self._failed.get(name)
        n_times = 1 + (before.n_times if before else 0)
        n_more = reaction.n_same + (len(attempt.target.keys) - 1 if reaction.other_key else 0)
        again_at_s = None
        if n_times <= n_more:
            hint = hint_s(attempt.error) if attempt.error else None
            # another key may be asked at once, and the same one not before its bar is over
            again_at_s = now_s if reaction.other_key else now_s + pause_s(n_times, hint, rng)
        self._failed[name] = Failed(outcome, n_times, again_at_s)
        if outcome in ("context_length", "content_policy"):
            self._list = outcome
        self.is_over = reaction.others == "none" or not self._plan[self._list]

    def can_pass_over(self) -> bool:
        """Whether there is somebody to turn to when a filter refuses."""
        return any(choice.target.name not in self._failed for choice in self._plan["content_policy"])

    def candidates(self, now_s: float, busy: Collection[str] = ()) -> list[Candidate]:
        """Everyone who may be asked, and why not; `busy` are those that this request is asking now.

        The fallbacks join in when none of the targets is left.
        """
        found = list(self._seen(self._list, now_s, busy))
        if self._list == "targets" and all(one.excluded for one in found):
            known = {one.target for one in found}
            more = self._seen(self._fallback(found), now_s, busy)
            found += [one for one in more if one.target not in known]
        return found

    def standing_by(self, now_s: float, seen: Sequence[Candidate]) -> Iterator[Candidate]:
        """The fallbacks that are not among those seen, each excluded by what it waits for."""
        known = {one.target for one in seen}
        for listed in self._plan:
            for one in self._seen(listed, now_s, ()):
                if one.target not in known:
                    known.add(one.target)
                    yield replace(one, excluded=one.excluded or f"stands by for {listed}", ready_in_s=None)

    def choice_of(self, target: str) -> Choice:
        """The choice behind a candidate."""
        return next(one for choices in self._plan.values() for one in choices if one.target.name == target)

    def _fallback(self, found: list[Candidate]) -> List:
        """The list for what is in the way of all of `found`."""
        reasons = {one.excluded for one in found if one.excluded not in NEVER}
        if reasons == {"context"}:
            return "context_length"
        if self._plan["rate_limit"] and reasons <= {*_OF_KEYS, "failed: rate_limit"}:
            return "rate_limit"
        return "default"

    def _seen(self, listed: List, now_s: float, busy: Collection[str]) -> Iterator[Candidate]:
        for choice in self._plan[listed]:
            yield self._candidate(choice, now_s, busy)

    def _candidate(self, choice: Choice, now_s: float, busy: Collection[str]) -> Candidate:
        target = choice.target
        failed = self._failed.get(target.name)
        excluded, ready_in_s = self._exclusion(choice, failed, now_s, busy)
        return Candidate(
            target=target.name,
            model=target.model,
            tier=_tier(choice, failed),
            listed=choice.listed,
            breaker=target.breaker.state(now_s),
            weight=choice.weight,
            share=target.breaker.share(now_s),
            n_in_flight=target.load.n_in_flight,
            expected_s=target.load.expected_s(min(self._max_tokens, LIKELY_TOKENS), now_s),
            cost_usd=self._cost_usd(choice),
            excluded=excluded,
            ready_in_s=ready_in_s,
        )

    def _exclusion(
        self, choice: Choice, failed: Failed | None, now_s: float, busy: Collection[str]
    ) -> tuple[str | None, float | None]:
        """Why it may not be asked now, and when it may be; that is None where waiting does not help."""
        target, limit = choice.target, choice.context_tokens
        if choice.bar is None and limit is not None and self._n_tokens + self._max_tokens > limit:
            return "context", None
        if self._needs & target.lacks:
            return "abilities", None
        if choice.bar or target.name in busy:
            return choice.bar or "busy", None
        if failed and (failed.again_at_s is None or failed.again_at_s > now_s):
            return f"failed: {failed.outcome}", None if failed.again_at_s is None else failed.again_at_s - now_s
        if not target.breaker.admits(now_s):
            return "breaker", target.breaker.admits_in_s(now_s)
        return bar_of(target.keys, self._n_tokens, now_s) or (None, None)

    def _cost_usd(self, choice: Choice) -> float | None:
        price = choice.target.price
        if price is None or not self._with_cost:
            return None
        n_written = min(self._max_tokens, LIKELY_TOKENS)
        return cost_microusd(price, Usage(input_tokens=self._n_tokens, output_tokens=n_written)) / 1e6


def _needs(plan: Plan, prompt: Prompt) -> frozenset[Ability]:
    """What a target has to be able to do. Nothing if none can: then the refusal of the first says what is wrong."""
    needed = needs(prompt)
    can = not needed or any(not needed & one.target.lacks for choices in plan.values() for one in choices)
    return needed if can else frozenset()


def _tier(choice: Choice, failed: Failed | None) -> int:
    if failed is None:
        return choice.tier
    return _FIRST if REACTIONS[failed.outcome].other_key else choice.tier + _AGAIN
