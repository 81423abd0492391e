"""A model's events as what they mostly are: a generator that can be closed."""

from collections.abc import AsyncGenerator

from rag.base.deadline import Deadline
from rag.base.ports import ChatModel
from rag.base.types import ModelEvent, Prompt


async def events_of(model: ChatModel, prompt: Prompt, deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
    """The events; closing this closes the model's stream too, which an iterator need not be able to do by itself."""
    events = model.stream(prompt, deadline)
    try:
        async for event in events:
            yield event
    finally:
        close = getattr(events, "aclose", None)
        if close:
            await close()
