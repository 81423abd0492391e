"""Work that is done while something else is awaited."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def one_ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The items of `source`; the next one is made while the last one is used. Closes the source."""
    async with aclosing(source):
        upcoming = asyncio.ensure_future(anext(source, None))
        try:
            while (item := await upcoming) is not None:
                upcoming = asyncio.ensure_future(anext(source, None))
                yield item
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
