"""One request on its way to a target that speaks: one budget of attempts and time, whatever they are spent on."""

import asyncio
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from llm.routing.attempt import Attempt, Cause, Instruments
from llm.routing.config import RouteConfig
from llm.routing.decision import Candidate, Decision, decide, prefix_number
from llm.routing.exhausted import exhausted
from llm.routing.hedge import race
from llm.routing.keys import pick
from llm.routing.outcomes import FailedOutcome
from llm.routing.pacing import RetryPurse
from llm.routing.plan import Plan
from llm.routing.trial import Trial
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError
from rag.base.types import Prompt

MAX_WAITING: Final = 1_000  # requests of a route that wait for a target; one more is refused at once
PREFIX_CHARS: Final = 4_096  # of a message; what begins alike up to there is cached alike
_POLL_S: Final = 0.025  # how soon a target is looked at again that only a call in flight can bring back
_MAX_POLL_S: Final = 0.4


class Route(Struct, frozen=True, kw_only=True, eq=False):
    """What all requests of a route share."""

    name: str
    plan: Plan
    config: RouteConfig
    purse: RetryPurse
    instruments: Instruments
    waiting: asyncio.Semaphore

    @property
    def has_others(self) -> bool:
        """Whether there is anybody else to ask than the first."""
        return sum(map(len, self.plan.values())) > 1

    def decide(self, trial: Trial, prompt: Prompt, busy: Collection[str] = ()) -> Decision:
        """Who is asked next, by what is known now."""
        candidates = trial.candidates(self.instruments.clock(), busy)
        return decide(candidates, self.config.balancer, self.instruments.rng, self.affinity(prompt))

    def affinity(self, prompt: Prompt) -> int | None:
        """The number of what a conversation begins with, up to its first question, which its later turns share."""
        if not self.config.prefix_affinity:
            return None
        first = next((at for at, turn in enumerate(prompt.messages, 1) if turn.role == "user"), 1)
        return prefix_number(prompt.tenant, "\0".join(turn.content[:PREFIX_CHARS] for turn in prompt.messages[:first]))


class Request:
    """Asks one target after the other until one speaks."""

    def __init__(self, route: Route, prompt: Prompt, deadline: Deadline) -> None:
        self._route = route
        self._prompt = prompt
        self._with = route.instruments
        self._deadline = Deadline(min(deadline.at_s, self._with.clock() + route.config.timeout_s))
        self._trial = Trial(route.plan, prompt, with_cost=route.config.balancer == "cost")
        self._n_attempts = 0
        self._waited_s = 0.0
        self._poll_s = _POLL_S
        self._last: Attempt | None = None

    async def committed(self) -> Attempt:
        """An attempt that has spoken; the caller closes it. Raises what stands for all that failed."""
        while True:
            decision = self._route.decide(self._trial, self._prompt)
            chosen = self._chosen(decision)
            if chosen is None:
                await self._wait(decision)
                continue
            self._spend(decision)
            for attempt in await self._asked(decision, chosen):
                if attempt.outcome is None and not await self._passed_over(attempt):
                    return attempt
                if attempt.failed_as is not None:
                    self._trial.failed(attempt, self._with.clock(), self._with.rng)
                    self._last = attempt
            if self._trial.is_over:
                raise self._exhausted(decision, "nobody else may be asked after this failure")

    async def _asked(self, decision: Decision, chosen: Candidate) -> list[Attempt]:
        """The attempts that this choice led to, the one that speaks first; those that do not are closed."""
        attempt = self._begun(decision, chosen)
        within_s = self._patience_s(chosen)
        if self._route.config.hedge_after_s is not None:
            return await race(attempt, self._route.config.hedge_after_s, lambda: self._hedge(attempt), within_s)
        try:
            await attempt.open(within_s)
        except BaseException as error:
            await attempt.close()
            if not isinstance(error, GroundwireError):
                raise
        return [attempt]

    async def _passed_over(self, attempt: Attempt) -> bool:
        """Whether an answer without a word is not taken, since somebody else may be asked.

        After a tool's result a model may have nothing to say.
        """
        outcome: FailedOutcome | None = None
        if attempt.ended_as == "content_filter" and self._trial.can_pass_over():
            outcome = "content_policy"
        elif attempt.ended_as in ("stop", "length") and not self._prompt.options.tools:
            others = self._route.decide(self._trial, self._prompt, busy={attempt.target.name})
            outcome = None if others.chosen is None or self._is_spent() else "empty"
        if outcome is not None:
            attempt.decline(outcome)
            await attempt.close()
        return outcome is not None

    def _begun(self, decision: Decision, chosen: Candidate, *, is_hedge: bool = False) -> Attempt:
        self._n_attempts += 1
        now_s = self._with.clock()
        target = self._trial.choice_of(chosen.target).target
        key = pick(target.keys, self._prompt.n_tokens, now_s, self._route.affinity(self._prompt))
        assert key is not None, "a candidate has a key that may be used"
        cause = Cause(
            route=self._route.name,
            number=self._n_attempts,
            decision=decision,
            is_hedge=is_hedge,
            failed_over_from=self._last.target.name if self._last else None,
            failed_over_for=self._last.outcome if self._last else None,
        )
        return Attempt(target, key, cause, self._with, prompt=self._prompt, deadline=self._deadline)

    def _hedge(self, first: Attempt) -> Attempt | None:
        """A second attempt beside the first, if there are somebody to ask, a token and an attempt left for it."""
        decision = self._route.decide(self._trial, self._prompt, busy={first.target.name})
        chosen = self._chosen(decision)
        if chosen is None or self._is_spent() or not self._route.purse.take():
            return None
        return self._begun(decision, chosen, is_hedge=True)

    def _chosen(self, decision: Decision) -> Candidate | None:
        return None if decision.chosen is None else decision.candidates[decision.chosen]

    def _patience_s(self, chosen: Candidate) -> float:
        """How long to wait for the first output: half of the time left, if somebody else could use the other half."""
        left_s = self._deadline.remaining_s(self._with.clock)
        if self._is_spent() or not self._route.has_others:
            return left_s
        others = self._trial.candidates(self._with.clock(), busy={chosen.target})
        return left_s / 2 if any(one.excluded is None for one in others) else left_s

    def _spend(self, decision: Decision) -> None:
        """Raises when there is no time, no attempt or no retry left."""
        if self._deadline.expired(self._with.clock) and self._n_attempts:
            raise self._exhausted(decision, "the time is up")
        if self._is_spent():
            raise self._exhausted(decision, f"{self._n_attempts} attempts are used up")
        if self._n_attempts and not self._route.purse.take():
            raise self._exhausted(decision, "the retries of all requests are used up")

    async def _wait(self, decision: Decision) -> None:
        """Until somebody may be asked again. Raises when nobody will be, or not soon enough."""
        ready_in_s = decision.ready_in_s
        if ready_in_s is None:
            raise self._exhausted(decision, "there is nobody else to ask")
        wait_s = max(ready_in_s, self._poll_s) * (1 + 0.2 * self._with.rng.random())
        self._poll_s = min(2 * self._poll_s, _MAX_POLL_S)
        left_s = min(self._route.config.max_wait_s - self._waited_s, self._deadline.remaining_s(self._with.clock))
        if wait_s >= left_s or self._route.waiting.locked():
            raise self._exhausted(decision, f"the next one is back in {ready_in_s:.3g} s, which is too late")
        self._waited_s += wait_s
        async with self._route.waiting:
            await asyncio.sleep(wait_s)

    def _is_spent(self) -> bool:
        return self._n_attempts >= self._route.config.max_attempts

    def _exhausted(self, decision: Decision, why: str) -> GroundwireError:
        is_late = self._deadline.expired(self._with.clock)
        return exhausted(self._route.name, self._trial.attempts, decision, why, is_late=is_late)
