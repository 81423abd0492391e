"""Two attempts side by side: the first to speak answers, and one that fails never wins."""

import asyncio
from collections.abc import Callable

from llm.routing.attempt import Attempt
from rag.base.errors import GroundwireError


async def race(first: Attempt, after_s: float, second: Callable[[], Attempt | None], within_s: float) -> list[Attempt]:
    """All that were made, the winner first if there is one: it is open and its `error` is None; the others are closed.

    `second` makes the other attempt once the first has been silent for `after_s`; None if there is nobody to ask.
    """
    attempts, tasks = [first], [asyncio.create_task(first.open(within_s))]
    winner: Attempt | None = None
    try:
        await asyncio.wait(tasks, timeout=after_s)
        other = None if tasks[0].done() else second()
        if other is not None:
            attempts.append(other)
            tasks.append(asyncio.create_task(other.open(within_s)))
        winner = await _first_to_speak(attempts, tasks)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for attempt in attempts:
            if attempt is not winner:
                await attempt.close()
    for result in ended:
        if isinstance(result, Exception) and not isinstance(result, GroundwireError):
            raise result
    return sorted(attempts, key=lambda attempt: attempt is not winner)


async def _first_to_speak(attempts: list[Attempt], tasks: list[asyncio.Task[None]]) -> Attempt | None:
    """The first whose task ends well, the earlier one where both have; None when all failed."""
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for attempt, task in zip(attempts, tasks, strict=True):
            if task in done and not task.exception():
                return attempt
    return None
