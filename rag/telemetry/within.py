"""Streams that are made under a context variable which their reader does not see."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from typing import TypeVar

from rag.base.events import close
from rag.telemetry.spans import CURRENT, Span, end

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
        await _close(variable, value, events)


async def spanned(
    span: Span, events: AsyncIterator[Event], note: Callable[[Event], None] = lambda _: None
) -> AsyncGenerator[Event, None]:
    """The same for a span: its events are made while it is open, it is told of each of them, and it ends with the last.

    Not made of `within`: every event would take one more step, and answers have hundreds.
    """
    failed: BaseException | None = None
    try:
        while True:
            token = CURRENT.set(span)
            try:
                event = await anext(events)
            finally:
                CURRENT.reset(token)
            note(event)
            yield event
    except StopAsyncIteration:
        return
    except BaseException as error:
        failed = error
        raise
    finally:
        try:
            await _close(CURRENT, span, events)
        finally:
            end(span, failed)


async def _close(variable: ContextVar[Value], value: Value, events: AsyncIterator[Event]) -> None:
    token = variable.set(value)
    try:
        await close(events)
    finally:
        variable.reset(token)
