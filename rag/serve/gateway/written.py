"""An answer as server-sent events, whatever API writes them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol, cast

from rag.base.errors import BadDependency
from rag.base.types import Finished
from rag.serve.gateway.talk import TalkEvent


class Writer(Protocol):
    """Encodes one answer, event by event."""

    def first(self) -> bytes:
        """What opens the answer."""
        ...

    def write(self, event: TalkEvent) -> bytes:
        """What one event adds; empty for what is told at the end, which Finished is."""
        ...


async def written(events: AsyncIterator[TalkEvent], writer: Writer) -> AsyncGenerator[bytes, None]:
    """The encoded events. Nothing is given out before the model has begun: until then a failure has a status.

    Raises BadDependency for what stops without an end, and what the events raise.
    """
    began = is_over = False
    async with aclosing(cast("Any", events)):  # every stream of events is a generator
        async for event in events:
            data = writer.write(event)
            if data and not began:
                began = True
                data = writer.first() + data
            if data:
                yield data
            is_over = is_over or isinstance(event, Finished)  # read to its end: leaving it is dearer
    if not is_over:
        raise BadDependency("the answer was cut off before its end")
