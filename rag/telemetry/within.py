"""Streams that are made under a context variable which their reader does not see, and watched."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

from rag.base.events import close
from rag.telemetry.spans import CURRENT, Span, end

Event = TypeVar("Event")
Value = TypeVar("Value")


def _nothing(_: object) -> None:
    pass


async def within(
    variable: ContextVar[Value],
    value: Value,
    events: AsyncIterator[Event],
    note: Callable[[Event], None] = _nothing,
    ended: Callable[[BaseException | None], None] = _nothing,
) -> AsyncGenerator[Event, None]:
    """The events, each made while `variable` has `value`, and given out while it has what it had; closed likewise.

    `note` is told of each event before it is given out, and `ended` of the end, with what made it one before its time.
    A generator that sets a variable itself would set it for its reader too, and could not always reset it.
    """
    failed: BaseException | None = None
    try:
        while True:
            token = variable.set(value)
            try:
                event = await anext(events)
            finally:
                variable.reset(token)
            note(event)
            yield event
    except StopAsyncIteration:
        return
    except BaseException as error:
        failed = error
        raise
    finally:
        try:
            await _close(variable, value, events)
        finally:
            ended(failed)


def spanned(
    span: Span, events: AsyncIterator[Event], note: Callable[[Event], None] = _nothing
) -> AsyncGenerator[Event, None]:
    """The same for a span: its events are made while it is open, it is told of each, and it ends with the last."""
    return within(CURRENT, span, events, note, partial(end, span))


async def _close(variable: ContextVar[Value], value: Value, events: AsyncIterator[Event]) -> None:
    token = variable.set(value)
    try:
        await close(events)
    finally:
        variable.reset(token)
