"""A model's events, and how to be done with them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rag.base.types import ModelEvent


class Closing:
    """Closes a model's stream when the block ends, as `contextlib.aclosing` does for generators.

    The events pass untouched: a generator around them would cost a step for each.
    """

    def __init__(self, events: AsyncIterator[ModelEvent]) -> None:
        self._events = events

    async def __aenter__(self) -> AsyncIterator[ModelEvent]:
        return self._events

    async def __aexit__(self, *_: object) -> None:
        await close(self._events)


async def close(events: AsyncIterator[Any]) -> None:
    """Ends the work behind an iterator that can be closed, which every async generator can."""
    if getattr(events, "ag_frame", events) is None:  # a generator that is over: most are, and there are ten in a row
        return
    aclose: Callable[[], Awaitable[None]] | None = getattr(events, "aclose", None)
    if aclose is not None:
        await aclose()
