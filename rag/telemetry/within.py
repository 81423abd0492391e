"""Streams that are made under a context variable which their reader does not see."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar
from typing import TypeVar

Event = TypeVar("Event")
Value = TypeVar("Value")


async def within(
    variable: ContextVar[Value], value: Value, events: AsyncIterator[Event]
) -> AsyncGenerator[Event, None]:
    """The events, each made while `variable` has `value`, and given out while it has what it had; closed likewise.

    A generator that sets a variable itself would set it for its reader too, and could not always reset it.
    """
    try:
        while True:
            token = variable.set(value)
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            finally:
                variable.reset(token)
            yield event
    finally:
        close = getattr(events, "aclose", None)  # every async generator has it; an iterator need not
        if close:
            token = variable.set(value)
            try:
                await close()
            finally:
                variable.reset(token)
