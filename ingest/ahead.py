"""Work that is done while something else is awaited."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
Made = TypeVar("Made")


async def ahead(
    source: AsyncGenerator[T, None], make: Callable[[T], Coroutine[Any, Any, Made]], n: int
) -> AsyncGenerator[Made, None]:
    """What `make` gives for each item of `source`, in order; while one is used `n` others are in the making.

    What the source raises comes after what was made of the items before. Closes the source.
    """
    room = asyncio.Semaphore(n)
    tasks: asyncio.Queue[asyncio.Task[Made] | None] = asyncio.Queue()  # `room` is its bound
    started: set[asyncio.Task[Made]] = set()

    async def start() -> None:
        try:
            async for item in source:
                await room.acquire()
                task = asyncio.create_task(make(item))
                started.add(task)
                tasks.put_nowait(task)
        finally:
            tasks.put_nowait(None)

    async with aclosing(source):
        starting = asyncio.create_task(start())
        try:
            while (task := await tasks.get()) is not None:
                made = await task
                started.remove(task)
                room.release()
                yield made
            await starting
        finally:
            for unfinished in (starting, *started):
                unfinished.cancel()
            await asyncio.gather(starting, *started, return_exceptions=True)
