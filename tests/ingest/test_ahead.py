import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.ahead import ahead


class Kitchen:
    """Makes things when it is let, and remembers how many were in the making."""

    def __init__(self) -> None:
        self.making = 0
        self.most = 0
        self.closed = False

    async def source(self, n: int, error: Exception | None = None) -> AsyncGenerator[int, None]:
        try:
            for number in range(n):
                await asyncio.sleep(0)
                yield number
            if error:
                raise error
        finally:
            self.closed = True

    async def make(self, number: int) -> str:
        self.making += 1
        self.most = max(self.most, self.making)
        try:
            for _ in range(number % 3):
                await asyncio.sleep(0)
            return f"dish {number}"
        finally:
            self.making -= 1


@given(st.integers(0, 12), st.integers(1, 4))
async def test_everything_is_made_in_order_and_few_at_a_time(n: int, at_once: int) -> None:
    kitchen = Kitchen()
    made = [dish async for dish in ahead(kitchen.source(n), kitchen.make, at_once)]
    assert made == [f"dish {number}" for number in range(n)]
    assert kitchen.most <= at_once
    assert kitchen.closed


async def test_others_are_in_the_making_while_one_is_used() -> None:
    started: list[int] = []

    async def make(number: int) -> int:
        started.append(number)
        return number

    async with aclosing(ahead(Kitchen().source(9), make, 2)) as made:
        assert await anext(made) == 0
        for _ in range(5):
            await asyncio.sleep(0)
        assert started == [0, 1, 2]


async def test_what_was_read_before_a_fault_is_still_given() -> None:
    kitchen = Kitchen()
    made = ahead(kitchen.source(3, OSError("disk")), kitchen.make, 4)
    assert [await anext(made) for _ in range(3)] == ["dish 0", "dish 1", "dish 2"]
    with pytest.raises(OSError, match="disk"):
        await anext(made)


async def test_who_leaves_early_leaves_nothing_running() -> None:
    kitchen = Kitchen()
    blocked = asyncio.Event()

    async def make(number: int) -> int:
        if number:
            kitchen.making += 1
            try:
                await blocked.wait()
            finally:
                kitchen.making -= 1
        return number

    async with aclosing(ahead(kitchen.source(9), make, 3)) as made:
        assert await anext(made) == 0
    assert kitchen.making == 0
    assert kitchen.closed
