"""A model's events as what they mostly are: a generator that can be closed."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

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
        await close(events)


async def close(events: AsyncIterator[ModelEvent]) -> None:
    """Ends the model's work where its iterator can be closed, which every async generator can."""
    aclose: Callable[[], Awaitable[None]] | None = getattr(events, "aclose", None)
    if aclose is not None:
        await aclose()
