"""What a queue is told to take is what it takes: first the fit alone, then the batcher in simulated time."""

import asyncio
import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.types import Lane, Work
from rag.infer.batcher import Batcher
from rag.infer.service_time import Load, ServiceTime, start_after
from rag.infer.turns import BatchLimits
from tests.simulated import now_s, simulate

fixed = st.floats(0, 0.05)
per_token = st.floats(1e-5, 1e-3)


@given(fixed, per_token, st.lists(st.integers(1, 4_000), min_size=2, max_size=60), st.integers(1, 4_000))
def test_a_backend_that_takes_so_much_per_batch_and_per_token_is_understood(
    fixed_s: float, per_token_s: float, batches: list[int], asked: int
) -> None:
    learnt = ServiceTime()
    for n_tokens in batches:
        learnt.observe(n_tokens, fixed_s + per_token_s * n_tokens)
    if max(batches) - min(batches) > 0.05 * max(batches) and len(batches) < 20:
        assert learnt.of(asked) == pytest.approx(fixed_s + per_token_s * asked, rel=0.01)


@given(st.lists(st.tuples(st.integers(1, 4_000), st.floats(0, 10)), max_size=60), st.integers(1, 4_000))
def test_whatever_was_seen_no_time_is_negative_and_more_tokens_take_no_less(
    seen: list[tuple[int, float]], asked: int
) -> None:
    learnt = ServiceTime()
    for n_tokens, seconds in seen:
        learnt.observe(n_tokens, seconds)
    assert 0 <= learnt.of(asked) <= learnt.of(asked + 1) + 1e-9


def test_what_is_long_ago_is_forgotten() -> None:
    learnt = ServiceTime()
    for seconds in (0.1, 10.0):
        for _ in range(200):
            learnt.observe(100, seconds)
    assert learnt.of(100) == pytest.approx(10.0, rel=0.01)


@given(st.lists(st.integers(1, 300), max_size=50))
def test_what_waits_makes_full_batches_and_a_rest(waiting: list[int]) -> None:
    load = Load()
    for n_tokens in waiting:
        load.add(n_tokens)
    full, rest = load.batches(500, 8)
    assert sum(full) + rest == pytest.approx(sum(waiting))
    assert all(n_tokens <= 500 + 1e-6 for n_tokens in full)
    assert bool(full) == (sum(waiting) >= 500 or len(waiting) >= 8)
    for n_tokens in waiting:
        load.drop(n_tokens)
    assert load.batches(500, 8) == ([], 0.0)


def test_work_starts_when_a_place_gets_free() -> None:
    assert start_after([3.0, 1.0], []) == 1.0
    assert start_after([3.0, 1.0], [5.0]) == 3.0
    assert start_after([3.0, 1.0], [0.5, 0.5, 9.0]) == 3.0
    assert start_after([0.0], [1.0, 2.0]) == 3.0


LIMITS = BatchLimits(max_items=32, interactive_tokens=512, bulk_tokens=256, max_age_s=1e9)


class Backend:
    """Takes a fixed time and one per token, as the simulated clock has it."""

    def __init__(self, fixed_s: float, per_token_s: float) -> None:
        self.fixed_s = fixed_s
        self.per_token_s = per_token_s

    async def run(self, items: list[int]) -> list[int]:
        await asyncio.sleep(self.takes_s(sum(items)))
        return items

    def takes_s(self, n_tokens: int) -> float:
        return self.fixed_s + self.per_token_s * n_tokens


def work(lane: Lane = "interactive") -> Work:
    return Work(tenant="a", deadline=Deadline(float("inf")), lane=lane)


async def told_and_waited(batcher: Batcher[int, int], n_tokens: int, lane: Lane) -> tuple[float, float]:
    told_s = batcher.predicted_wait_s(lane)
    _, timing = await batcher.submit(n_tokens, n_tokens, work(lane))
    return told_s, timing.queued_s


@settings(max_examples=40, deadline=None)
@given(fixed, per_token, st.integers(1, 3), st.sampled_from(["interactive", "bulk"]), st.integers(0, 2**32))
def test_an_item_waits_as_long_as_it_was_told(
    fixed_s: float, per_token_s: float, n_parallel: int, lane: Lane, seed: int
) -> None:
    """Bursts of 1 to 100 items: no more than a batch's time or a fifth longer, and as long on average.

    A small item may wait much less: it fills the room that a larger one before it did not fit into.
    """
    backend = Backend(fixed_s, per_token_s)
    chance = random.Random(seed)

    async def scenario() -> None:
        batcher = Batcher("test", backend.run, limits=replace(LIMITS, n_parallel=n_parallel), clock=now_s)
        for burst in range(8):
            sizes = [chance.randint(4, 40) for _ in range(chance.randint(1, 100))]
            waits = []
            for n_tokens in sizes:
                waits.append(asyncio.create_task(told_and_waited(batcher, n_tokens, lane)))
                await asyncio.sleep(chance.choice([0, 0, 0, backend.takes_s(10) / 20]))
            waited = await asyncio.gather(*waits)
            await asyncio.sleep(1)
            if burst < 3:
                continue  # it has to learn first
            batch_s = backend.takes_s(550)
            assert all(queued_s <= 1.2 * told_s + 1.05 * batch_s for told_s, queued_s in waited)
            told_s, queued_s = (fmean(column) for column in zip(*waited, strict=True))
            assert abs(told_s - queued_s) <= 0.2 * queued_s + 0.5 * batch_s
        assert batcher.predicted_wait_s() == 0
        await batcher.aclose()

    simulate(scenario())


def test_whoever_leaves_is_not_waited_for() -> None:
    async def scenario() -> None:
        batcher = Batcher("test", Backend(0.01, 0.001).run, limits=LIMITS, clock=now_s)
        for n_tokens in (10, 100):
            await batcher.submit(n_tokens, n_tokens, work())
        running = asyncio.create_task(batcher.submit(100, 100, work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        leavers = [asyncio.create_task(batcher.submit(100, 100, work())) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert batcher.predicted_wait_s() == pytest.approx(0.09 + 9 * 0.522, rel=0.05)
        for leaver in leavers:
            leaver.cancel()
        await asyncio.sleep(0.01)
        assert (batcher.queue_depth(), batcher.predicted_wait_s()) == (0, pytest.approx(0.08, rel=0.05))
        await running
        assert batcher.predicted_wait_s() == 0

    simulate(scenario())
