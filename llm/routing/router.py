"""A route: one ChatModel made of several targets. What one of them fails to do, before its first word, another does.

Nothing is given out before the first output, so any failure up to there goes unseen. After it the answer belongs to one
target, and if that fails, the caller gets its error and never a clean end.
"""

from collections.abc import AsyncGenerator

from msgspec.structs import replace

from llm.routing.attempt import Attempt
from llm.routing.calls import Calls
from llm.routing.decision import Decision
from llm.routing.parameters import NO_PARAMETERS, completed, shortened
from llm.routing.request import Request, Route
from llm.routing.trial import Trial
from rag.base.deadline import Deadline
from rag.base.types import Finished, ModelEvent, Prompt


class Router:
    """`name` is what answers say made them: the route, or the model where that is all there is to it."""

    def __init__(self, route: Route, name: str, calls: Calls) -> None:
        self.name = name
        self.route = route
        self._calls = calls

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port. What is raised before the first event stands for all targets that were asked.

        A history that was too long for the route is named among what was dropped.
        """
        self.route.purse.requested()
        fitted = self._fitted(prompt)
        dropped = ("history",) if len(fitted.messages) < len(prompt.messages) else ()
        self._calls.began()
        attempt: Attempt | None = None
        try:
            attempt = await Request(self.route, fitted, deadline).committed()
            for event in attempt.accept():
                yield _telling(event, dropped)
            while attempt.is_open:
                yield _telling(await attempt.next(), dropped)
        finally:
            if attempt is not None:
                await attempt.close()
            self._calls.ended()

    def explain(self, prompt: Prompt) -> Decision:
        """Who would be asked for the prompt now, and why; asks nobody and changes nothing.

        The fallbacks stand at the end, also those that would not be looked at.
        """
        fitted = self._fitted(prompt)
        trial = Trial(self.route.plan, fitted, with_cost=True)
        decision = self.route.decide(trial, fitted)
        standing_by = trial.standing_by(self.route.instruments.clock(), decision.candidates)
        return replace(decision, candidates=(*decision.candidates, *standing_by))

    def _fitted(self, prompt: Prompt) -> Prompt:
        """The prompt as the route's parameters make it."""
        parameters = self.route.config.parameters
        if parameters == NO_PARAMETERS:
            return prompt
        full = completed(prompt, parameters)
        return full if parameters.history_tokens is None else shortened(full, parameters.history_tokens)


def _telling(event: ModelEvent, dropped: tuple[str, ...]) -> ModelEvent:
    return replace(event, dropped=(*event.dropped, *dropped)) if dropped and isinstance(event, Finished) else event
