"""One producer for equal callers, owned by none of them."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cache.flights import Flights


class Producer:
    """Gives 0, 1, 2, each when it is let; counts how often it was started and stopped."""

    def __init__(self, *, failures: int = 0, fail_after: int = 0) -> None:
        self.n_started = 0
        self.n_closed = 0
        self.gate = asyncio.Event()
        self.failures = failures
        self.fail_after = fail_after

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.n_started += 1
        fails = self.n_started <= self.failures
        try:
            for number in range(3):
                if fails and number == self.fail_after:
                    raise ValueError("broken")
                yield number
                await self.gate.wait()
        finally:
            self.n_closed += 1


async def read(flights: Flights[int], producer: Producer) -> list[int]:
    return [number async for number in flights.join("key", producer)]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_callers_get_the_whole_stream_of_one_producer() -> None:
    flights, producer = Flights[int](), Producer()
    readers = [asyncio.create_task(read(flights, producer)) for _ in range(100)]
    await settled()
    late = asyncio.create_task(read(flights, producer))
    await settled()
    producer.gate.set()
    assert await asyncio.gather(*readers, late) == [[0, 1, 2]] * 101
    assert producer.n_started == 1
    assert len(flights) == 0
    assert await read(flights, producer) == [0, 1, 2]
    assert producer.n_started == 2, "what has landed is not joined"


async def test_the_one_who_started_may_leave() -> None:
    flights, producer = Flights[int](), Producer()
    first = asyncio.create_task(read(flights, producer))
    await settled()
    follower = asyncio.create_task(read(flights, producer))
    await settled()
    first.cancel()
    await settled()
    producer.gate.set()
    assert await follower == [0, 1, 2]
    assert producer.n_started == 1


async def test_when_the_last_one_leaves_the_producer_is_stopped() -> None:
    flights, producer = Flights[int](), Producer()
    readers = [asyncio.create_task(read(flights, producer)) for _ in range(3)]
    await settled()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await settled()
    assert producer.n_closed == 1
    assert len(flights) == 0


async def test_a_failing_start_harms_no_follower() -> None:
    flights, producer = Flights[int](), Producer(failures=1)
    producer.gate.set()
    results = await asyncio.gather(*(read(flights, producer) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results].count(ValueError) == 1
    assert results.count([0, 1, 2]) == 4
    assert producer.n_started == 2


async def test_a_stream_that_breaks_breaks_for_all_that_have_read_of_it() -> None:
    flights, producer = Flights[int](), Producer(failures=1, fail_after=1)
    readers = [asyncio.create_task(read(flights, producer)) for _ in range(3)]
    await settled()
    producer.gate.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(result, ValueError) for result in results)


async def test_other_keys_fly_alone() -> None:
    flights, one, other = Flights[int](), Producer(), Producer()
    one.gate.set()
    other.gate.set()
    with pytest.raises(StopAsyncIteration):
        await anext(aiter(_empty(flights)))
    both = await asyncio.gather(read(flights, one), _numbers(flights, other))
    assert both == [[0, 1, 2], [0, 1, 2]]
    assert one.n_started == other.n_started == 1


async def _empty(flights: Flights[int]) -> AsyncGenerator[int, None]:
    async def nothing() -> AsyncGenerator[int, None]:
        return
        yield 0

    async for number in flights.join("empty", nothing):
        yield number


async def _numbers(flights: Flights[int], producer: Producer) -> list[int]:
    return [number async for number in flights.join("other", producer)]
