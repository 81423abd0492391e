"""One call of one target, up to the first output and beyond, and what is learnt from it."""

import asyncio
import logging
from random import Random
from typing import Final

from msgspec import Struct

from llm.failures import failure_behind
from llm.routing.breaker import State, Verdict
from llm.routing.decision import Decision
from llm.routing.keys import Key
from llm.routing.outcomes import REACTIONS, FailedOutcome, Outcome, hint_s, outcome_of
from llm.routing.report import AttemptReport, OnAttempt
from llm.routing.target import Target
from llm.usage import estimated_tokens
from rag.base.alarm import Alarm
from rag.base.deadline import Clock, Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, GroundwireError, for_the_log
from rag.base.events import close
from rag.base.types import Finished, ModelEvent, Prompt, StopReason, TextDelta, Usage

_log = logging.getLogger(__name__)

FAILURE_COST_S: Final = 2.0  # what a failed call counts as with the balancer
FAIR_CHANCE_S: Final = 1.0  # who had less time than this is not to blame for not having answered
_COSTS_NOTHING: Final[frozenset[Outcome]] = frozenset(
    {"connect", "rate_limit", "credentials", "model_missing", "context_length", "declined", "rejected"}
)


class Instruments(Struct, frozen=True, kw_only=True):
    """What an attempt measures with and reports to."""

    clock: Clock
    rng: Random
    on_attempt: OnAttempt
    slow_first_token_s: float


class Cause(Struct, frozen=True, kw_only=True):
    """Why an attempt is made: the choice, and the failure before it."""

    route: str
    number: int
    decision: Decision
    is_hedge: bool = False
    failed_over_from: str | None = None
    failed_over_for: Outcome | None = None


class Attempt:
    """Takes its place with the target and the key when it is made.

    Then `open` it, `accept` what it has kept back, read on with `next`, and `close` it in any case.
    """

    def __init__(
        self, target: Target, key: Key, cause: Cause, instruments: Instruments, *, prompt: Prompt, deadline: Deadline
    ) -> None:
        self.target = target
        self.key = key
        self.cause = cause
        self.error: GroundwireError | None = None
        self.outcome: Outcome | None = None
        self.failed_as: FailedOutcome | None = None
        self._with = instruments
        self._prompt = prompt
        self._began_s = instruments.clock()
        self._spoke_s: float | None = None
        self._held: list[ModelEvent] = []
        self._n_tokens = 0
        self._usage: Usage | None = None
        self._call = target.load.began(self._began_s)
        self._era = target.breaker.began(self._began_s)
        key.began(prompt.n_tokens)
        self._stream = key.model.stream(prompt, deadline)

    @property
    def is_open(self) -> bool:
        """Whether there is more to come."""
        return self.outcome is None

    @property
    def ended_as(self) -> StopReason | None:
        """How an answer ended that has no word in it; None for one that has."""
        last = self._held[-1] if self._held else None
        return last.reason if isinstance(last, Finished) else None

    async def open(self, within_s: float) -> None:
        """Waits for the first output and keeps back what comes before it. Raises what keeps it from coming."""
        alarm = Alarm()
        alarm.set(within_s)
        try:
            while not _is_output(event := await self._next()):
                self._held.append(event)
            self._held.append(event)
        except asyncio.CancelledError as error:
            if not alarm.is_the_cause():
                raise
            raise self._failed(
                DeadlineExceeded(f"'{self.target.name}' gave no output within {within_s:.3g} s")
            ) from error
        except GroundwireError as error:
            self._failed(error)
            raise
        except Exception as error:
            raise self._failed(_unexpected(error, self.target.name)) from error
        finally:
            alarm.close()
        self._spoke()

    async def next(self) -> ModelEvent:
        """What follows the events that were kept back. Raises what ends the answer before its time."""
        try:
            event = await self._next()
        except GroundwireError as error:
            self._failed(error)
            raise
        except Exception as error:
            raise self._failed(_unexpected(error, self.target.name)) from error
        if isinstance(event, Finished):
            self._settle("ok")
        return event

    def accept(self) -> list[ModelEvent]:
        """The events that were kept back, to be given out now; at times they are the whole answer."""
        if self.ended_as is not None:
            self._settle("ok")
        return self._held

    async def close(self) -> None:
        """Ends the call if it is not over; it counts as cancelled then."""
        try:
            if self.outcome == "ok":
                await anext(self._stream, None)  # after the last event it ends by itself, which is cheaper
            await close(self._stream)
        finally:
            self._settle("cancelled")

    def decline(self, outcome: FailedOutcome) -> None:
        """Its answer is passed over for that of another target."""
        self._settle(outcome)

    async def _next(self) -> ModelEvent:
        try:
            event = await anext(self._stream)
        except StopAsyncIteration as end:
            raise BadDependency(f"'{self.target.name}' stopped in the middle of its answer") from end
        if isinstance(event, Usage):
            self._usage = event
        elif not isinstance(event, Finished):
            self._n_tokens += estimated_tokens(event)
        return event

    def _spoke(self) -> None:
        self._spoke_s = now_s = self._with.clock()
        self.target.load.spoke(self._call, now_s)
        is_slow = now_s - self._began_s >= self._with.slow_first_token_s
        self._judge("slow" if is_slow else "ok", now_s)
        self.key.accepted(now_s)

    def _failed(self, error: GroundwireError) -> GroundwireError:
        self.error = error
        self._settle(outcome_of(error))
        return error

    def _settle(self, outcome: Outcome) -> None:
        """The call is over; only the first word on that counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        now_s = self._with.clock()
        wrote_s = 0.0 if self._spoke_s is None else now_s - self._spoke_s
        self.target.load.ended(self._call, n_tokens=self._n_tokens, wrote_s=wrote_s, now_s=now_s)
        self.key.ended()
        if outcome == "cancelled":
            self._judge("void", now_s)
        elif outcome != "ok":
            self._blame(outcome, now_s)
        self._with.on_attempt(self._report(outcome, now_s))

    def _blame(self, outcome: FailedOutcome, now_s: float) -> None:
        self.failed_as = outcome
        reaction = REACTIONS[outcome]
        if reaction.key == "cool":
            self.key.cool(hint_s(self.error) if self.error else None, now_s, self._with.rng)
        elif reaction.key == "quarantine":
            self.key.quarantine(now_s)
            _log.error("the key '%s' of '%s' is left alone: %s", self.key.label, self.target.name, self._told())
        is_guilty = reaction.blames_target and (outcome != "timeout" or now_s - self._began_s >= FAIR_CHANCE_S)
        if is_guilty:
            self.target.load.penalise(FAILURE_COST_S, now_s)
        if self._spoke_s is None:
            says_nothing = reaction.blames_target or reaction.key != "keep"
            self._judge("failed" if is_guilty else "void" if says_nothing else "ok", now_s)
        elif is_guilty:
            was = self.target.breaker.state(now_s)
            self.target.breaker.failed_late(now_s)
            self._tell(was, now_s)

    def _judge(self, verdict: Verdict, now_s: float) -> None:
        was = self.target.breaker.state(now_s)
        self.target.breaker.ended(self._era, now_s, verdict)
        if self._tell(was, now_s) == "closed":
            self.target.load.forget()

    def _tell(self, was: State, now_s: float) -> State | None:
        """The state of the target's breaker if it is another one than before; the log has when it opens and closes."""
        breaker = self.target.breaker
        now = breaker.state(now_s)
        if now == was:
            return None
        if now == "closed":
            _log.warning("the target '%s' is back", self.target.name)
        elif was == "closed":
            _log.warning("the target '%s' is left alone: %s", self.target.name, self._told())
        return now

    def _told(self) -> str:
        return for_the_log(self.error) if self.error else "it was too slow"

    def _report(self, outcome: Outcome, now_s: float) -> AttemptReport:
        usage = self._usage or self._guess(outcome)
        failure = failure_behind(self.error) if self.error else None
        return AttemptReport(
            route=self.cause.route,
            target=self.target.name,
            provider=self.target.provider,
            model=self.target.model,
            key=self.key.label,
            number=self.cause.number,
            outcome=outcome,
            status=failure.status if failure else None,
            first_output_s=None if self._spoke_s is None else self._spoke_s - self._began_s,
            total_s=now_s - self._began_s,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            is_estimated=usage.estimated,
            retry_after_s=hint_s(self.error) if self.error else None,
            is_hedge=self.cause.is_hedge,
            failed_over_from=self.cause.failed_over_from,
            failed_over_for=self.cause.failed_over_for,
            breaker=self.target.breaker.state(now_s),
            decision=self.cause.decision,
        )

    def _guess(self, outcome: Outcome) -> Usage:
        """What a call that did not say so is to be paid for; one that was refused costs nothing."""
        if self._spoke_s is None and outcome in _COSTS_NOTHING:
            return Usage(input_tokens=0, output_tokens=0)
        return Usage(input_tokens=self._prompt.n_tokens, output_tokens=self._n_tokens, estimated=True)


def _unexpected(error: Exception, target: str) -> BadDependency:
    """An error that nobody raised on purpose comes from an answer that nobody foresaw."""
    return BadDependency(f"'{target}' failed unexpectedly ({type(error).__name__})")


def _is_output(event: ModelEvent) -> bool:
    """Whether there is something to give out: text that is no blank, a thought, a tool's call, or the end."""
    return bool(event.text.strip()) if isinstance(event, TextDelta) else not isinstance(event, Usage)
