"""Models for the gateway's stage, which play what they are given."""

import asyncio

from llm.extractive import NAME
from rag.base.chat import ReasoningDelta, ToolCallDelta
from rag.base.types import Finished, TextDelta, Usage
from tests.fakes import ScriptedModel
from tests.serve.stage import services

USAGE = Usage(input_tokens=10, output_tokens=4, cached_tokens=6, reasoning_tokens=1)
CALLING = (
    ReasoningDelta(text="hm"),
    TextDelta(text="Let me look."),
    ToolCallDelta(index=0, id="c1", name="look"),
    ToolCallDelta(index=0, arguments='{"at":'),
    ToolCallDelta(index=0, arguments=" 1}"),
    USAGE,
    Finished(reason="tool_calls", model="m", dropped=("seed",)),
)


class PlayingModel:
    """Plays `events`, raising those that are errors; `gate` holds back all but the first."""

    name = "playing@1"

    def __init__(self, *events):
        self.events = events
        self.prompts = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.closed = asyncio.Event()

    async def stream(self, prompt, deadline):
        self.prompts.append(prompt)
        try:
            for number, event in enumerate(self.events):
                if isinstance(event, BaseException):
                    raise event
                if number:
                    await self.gate.wait()
                yield event
        finally:
            self.closed.set()


class Quoting(ScriptedModel):
    name = NAME


def playing(*events, **changes):
    model = PlayingModel(*events)
    models = {"extractive": Quoting("x"), "big": model}
    return model, services(models=models, **changes)
