"""A route: one ChatModel made of several targets. What one of them fails to do, before its first word, another does.

Nothing is given out before the first output, so any failure up to there goes unseen. After it the answer belongs to one
target, and if that fails, the caller gets its error and never a clean end.
"""

from collections.abc import AsyncGenerator

from msgspec.structs import replace

from llm.routing.decision import Decision
from llm.routing.request import Request, Route
from llm.routing.trial import Trial
from rag.base.deadline import Deadline
from rag.base.types import ModelEvent, Prompt


class Router:
    """`name` is what answers say made them: the route, or the model where that is all there is to it."""

    def __init__(self, route: Route, name: str) -> None:
        self.name = name
        self.route = route

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        """See the port. What is raised before the first event stands for all targets that were asked."""
        self.route.purse.requested()
        attempt = await Request(self.route, prompt, deadline).committed()
        try:
            for event in attempt.accept():
                yield event
            while attempt.is_open:
                yield await attempt.next()
        finally:
            await attempt.close()

    def explain(self, prompt: Prompt) -> Decision:
        """Who would be asked for the prompt now, and why; asks nobody and changes nothing.

        The fallbacks stand at the end, also those that would not be looked at.
        """
        trial = Trial(self.route.plan, prompt)
        decision = self.route.decide(trial, prompt)
        standing_by = trial.standing_by(self.route.instruments.clock(), decision.candidates)
        return replace(decision, candidates=(*decision.candidates, *standing_by))
