"""The scheduler's rules, first as pure decisions, then as the running thing."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded, Overloaded, Unavailable
from rag.base.types import Lane, Work
from rag.infer.batcher import HERE_S, Batcher
from rag.infer.turns import BatchLimits, Ticket, take_batch
from rag.telemetry.report import BatchReport
from tests.simulated import now_s, simulate

LIMITS = BatchLimits(max_items=8, interactive_tokens=100, bulk_tokens=40, max_age_s=1.0, max_bulk_age_s=3.0)
PADDED = BatchLimits(max_items=8, interactive_tokens=100, bulk_tokens=40, padded=True)

tickets = st.builds(
    Ticket,
    st.integers(1, 120),
    st.sampled_from(["interactive", "bulk"]),
    st.floats(0, 1000),
    st.floats(0, 10),
    st.booleans(),
)


@given(st.lists(tickets, max_size=40), st.floats(0, 12))
def test_a_batch_holds_its_budget_and_never_repeats_an_item(waiting: list[Ticket], now_s: float) -> None:
    chosen = take_batch(waiting, now_s, LIMITS)
    assert bool(chosen) == bool(waiting)
    assert len(set(chosen)) == len(chosen) <= LIMITS.max_items
    batch = [waiting[index] for index in chosen]
    if len(batch) > 1:
        budget = LIMITS.bulk_tokens if batch[0].lane == "bulk" else LIMITS.interactive_tokens
        assert sum(ticket.n_tokens for ticket in batch) <= budget
        assert len({(ticket.lane, ticket.is_quiet) for ticket in batch}) == 1


@given(st.lists(tickets, max_size=40), st.floats(0, 12))
def test_a_padded_batch_wastes_at_most_its_share(waiting: list[Ticket], now_s: float) -> None:
    batch = [waiting[index] for index in take_batch(waiting, now_s, PADDED)]
    if len(batch) > 1:
        padded = max(ticket.n_tokens for ticket in batch) * len(batch)
        assert padded <= PADDED.interactive_tokens
        assert padded - sum(ticket.n_tokens for ticket in batch) <= PADDED.max_pad_waste * padded + 1e-9


@given(st.lists(tickets, min_size=1, max_size=40), st.floats(0, 12))
def test_the_head_is_the_oldest_past_its_age_else_the_one_whose_tenant_had_least(
    waiting: list[Ticket], now_s: float
) -> None:
    head = waiting[take_batch(waiting, now_s, LIMITS)[0]]
    bounds = {"interactive": LIMITS.max_age_s, "bulk": LIMITS.max_bulk_age_s}
    aged = [ticket for ticket in waiting if now_s - ticket.enqueued_s >= bounds[ticket.lane]]
    if aged:
        assert head.enqueued_s == min(ticket.enqueued_s for ticket in aged)
        return
    interactive = [ticket for ticket in waiting if ticket.lane == "interactive"]
    quiet = [ticket for ticket in interactive or waiting if ticket.is_quiet]
    assert head.turn == min(ticket.turn for ticket in quiet or interactive or waiting)
    assert head.lane == ("interactive" if interactive else "bulk")


def work(tenant: str = "a", lane: Lane = "interactive", seconds: float = 30.0) -> Work:
    return Work(tenant=tenant, deadline=Deadline.after(seconds), lane=lane)


class Backend:
    """Doubles numbers, one batch at a time, when the test says so."""

    def __init__(self, *, poison: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison = poison

    async def run(self, items: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(items)
        await self.gate.wait()
        if self.poison in items:
            raise ValueError("poison")
        return [item * 2 for item in items]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_backend_starts_at_once_and_what_waits_goes_together() -> None:
    backend = Backend()
    backend.gate.clear()
    reports: list[BatchReport] = []
    batcher = Batcher("test", backend.run, limits=LIMITS, on_batch=reports.append)
    first = asyncio.create_task(batcher.submit(1, 10, work()))
    await settled()
    assert backend.batches == [[1]]
    others = [asyncio.create_task(batcher.submit(n, 10, work())) for n in (2, 3, 4)]
    await settled()
    assert batcher.queue_depth() == 3
    backend.gate.set()
    assert (await first)[0] == 2
    results = await asyncio.gather(*others)
    assert [result for result, _ in results] == [4, 6, 8]
    assert backend.batches == [[1], [2, 3, 4]]
    assert results[0][1].batch_size == 3
    assert [report.n_items for report in reports] == [1, 3]
    await batcher.aclose()


async def test_a_second_batch_starts_beside_questions_when_enough_wait_for_it() -> None:
    backend = Backend()
    backend.gate.clear()
    limits = BatchLimits(n_parallel=2, interactive_tokens=100, beside_tokens=30)
    batcher = Batcher("test", backend.run, limits=limits)
    asked = [asyncio.create_task(batcher.submit(1, 10, work()))]
    await settled()
    asked += [asyncio.create_task(batcher.submit(n, 10, work())) for n in (2, 3)]
    await settled()
    assert backend.batches == [[1]]
    asked.append(asyncio.create_task(batcher.submit(4, 10, work())))
    await settled()
    assert backend.batches == [[1], [2, 3, 4]]
    backend.gate.set()
    await asyncio.gather(*asked)
    await batcher.aclose()


async def test_callers_are_told_a_few_at_a_time() -> None:
    backend = Backend()
    batcher = Batcher("test", backend.run, limits=BatchLimits(n_told_at_once=2))
    asked = [asyncio.create_task(batcher.submit(n, 1, work())) for n in range(5)]
    told = []
    while not all(one.done() for one in asked):
        await asyncio.sleep(0)
        told.append(sum(one.done() for one in asked))
    assert set(told) == {0, 2, 4, 5}
    assert [(await one)[0] for one in asked] == [0, 2, 4, 6, 8]
    await batcher.aclose()


async def test_an_item_that_is_alone_runs_on_the_loop_and_none_that_has_company() -> None:
    backend, elsewhere = Backend(), Backend()
    elsewhere.gate.clear()
    batcher = Batcher("test", elsewhere.run, limits=BatchLimits(n_parallel=2), here=backend.run)
    alone = Work(tenant="a", deadline=Deadline.after(30), is_alone=True)
    await batcher.submit(1, 10, alone)
    assert backend.batches == [[1]]
    asked = [asyncio.create_task(batcher.submit(2, 10, work()))]  # one of several, by its own word
    await settled()
    asked.append(asyncio.create_task(batcher.submit(3, 10, alone)))  # beside one that runs
    await settled()
    elsewhere.gate.set()
    await asyncio.gather(*asked)
    await asyncio.gather(batcher.submit(4, 10, alone), batcher.submit(5, 10, alone))
    assert (backend.batches, elsewhere.batches) == ([[1]], [[2], [3], [4, 5]])
    await batcher.aclose()


def test_what_has_taken_long_does_not_run_on_the_loop() -> None:
    async def scenario() -> None:
        async def slow(items: list[int]) -> list[int]:
            await asyncio.sleep(2 * HERE_S)
            return items

        elsewhere = Backend()
        batcher = Batcher("test", elsewhere.run, limits=LIMITS, here=slow, clock=now_s)
        for number in range(3):
            await batcher.submit(number, 10, Work(tenant="a", deadline=Deadline(1e9), is_alone=True))
        assert elsewhere.batches == [[1], [2]]
        await batcher.aclose()

    simulate(scenario())


async def test_a_question_does_not_wait_for_company_beside_bulk_work() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=BatchLimits(n_parallel=2, beside_tokens=30))
    asked = [asyncio.create_task(batcher.submit(1, 10, work(lane="bulk")))]
    await settled()
    asked.append(asyncio.create_task(batcher.submit(2, 10, work())))
    await settled()
    assert backend.batches == [[1], [2]]
    backend.gate.set()
    await asyncio.gather(*asked)
    await batcher.aclose()


async def test_arrivals_of_one_tick_join_one_batch() -> None:
    backend = Backend()
    batcher = Batcher("test", backend.run, limits=LIMITS)
    await asyncio.gather(*(batcher.submit(n, 1, work()) for n in range(4)))
    assert backend.batches == [[0, 1, 2, 3]]


async def test_a_poisoned_item_fails_alone() -> None:
    backend = Backend(poison=3)
    batcher = Batcher("test", backend.run, limits=LIMITS)
    results = await asyncio.gather(*(batcher.submit(n, 1, work()) for n in range(6)), return_exceptions=True)
    assert [type(result) for result in results].count(ValueError) == 1
    assert isinstance(results[3], ValueError)


async def test_an_item_may_fail_by_itself_without_another_run() -> None:
    async def run(items: list[int]) -> Sequence[int | BaseException]:
        return [ValueError("odd") if item % 2 else item for item in items]

    batcher = Batcher("test", run, limits=LIMITS)
    results = await asyncio.gather(*(batcher.submit(n, 1, work()) for n in range(4)), return_exceptions=True)
    assert [isinstance(result, ValueError) for result in results] == [False, True, False, True]


async def test_a_full_queue_refuses_at_once_with_a_wait() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=BatchLimits(queue_tokens=100))
    running = asyncio.create_task(batcher.submit(0, 10, work()))
    await settled()
    waiting = asyncio.create_task(batcher.submit(1, 90, work()))
    await settled()
    with pytest.raises(Overloaded) as refused:
        await batcher.submit_all([(2, 8), (3, 8)], work())
    assert refused.value.retry_after_s >= 1
    bulk = asyncio.create_task(batcher.submit(4, 90, work(lane="bulk")))
    await settled()
    assert batcher.queue_depth() == 2, "bulk work has a bound of its own, and the refused group left nothing"
    backend.gate.set()
    await asyncio.gather(running, waiting, bulk)


async def test_a_caller_that_leaves_is_dropped_before_its_batch_forms() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=LIMITS)
    running = asyncio.create_task(batcher.submit(0, 10, work()))
    await settled()
    leaver = asyncio.create_task(batcher.submit_all([(1, 10), (2, 10)], work()))
    stayer = asyncio.create_task(batcher.submit(3, 10, work()))
    await settled()
    leaver.cancel()
    await settled()
    backend.gate.set()
    await asyncio.gather(running, stayer)
    assert backend.batches == [[0], [3]]
    assert batcher.predicted_wait_s() == 0


async def test_work_past_its_deadline_is_not_run() -> None:
    now_s = 100.0
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=LIMITS, clock=lambda: now_s)
    running = asyncio.create_task(batcher.submit(0, 10, Work(tenant="a", deadline=Deadline(200.0))))
    await settled()
    late = asyncio.create_task(batcher.submit(1, 10, Work(tenant="a", deadline=Deadline(101.0))))
    await settled()
    now_s = 102.0
    backend.gate.set()
    await running
    with pytest.raises(DeadlineExceeded):
        await late
    assert backend.batches == [[0]]


async def test_a_busy_tenant_does_not_hold_up_a_quiet_one() -> None:
    backend = Backend()
    backend.gate.clear()
    limits = BatchLimits(max_items=1)
    batcher = Batcher("test", backend.run, limits=limits)
    busy = [asyncio.create_task(batcher.submit(n, 10, work("busy"))) for n in range(20)]
    await settled()
    quiet = asyncio.create_task(batcher.submit(99, 10, work("quiet")))
    await settled()
    backend.gate.set()
    await asyncio.gather(*busy, quiet)
    order = [batch[0] for batch in backend.batches]
    assert order.index(99) <= 2


async def test_bulk_work_waits_for_those_who_ask() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=BatchLimits(max_items=1))
    running = asyncio.create_task(batcher.submit(0, 1, work()))
    await settled()
    bulk = [asyncio.create_task(batcher.submit(n, 1, work(lane="bulk"))) for n in (1, 2)]
    await settled()
    asked = asyncio.create_task(batcher.submit(3, 1, work("other")))
    await settled()
    backend.gate.set()
    await asyncio.gather(running, asked, *bulk)
    assert backend.batches[1] == [3]


async def test_closing_fails_what_waits_and_refuses_what_comes() -> None:
    backend = Backend()
    backend.gate.clear()
    batcher = Batcher("test", backend.run, limits=LIMITS)
    running = asyncio.create_task(batcher.submit(0, 10, work()))
    await settled()
    waiting = asyncio.create_task(batcher.submit(1, 10, work()))
    await settled()
    closing = asyncio.create_task(batcher.aclose())
    await settled()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await batcher.submit(2, 10, work())
    backend.gate.set()
    assert (await running)[0] == 0
    await closing


async def test_a_fault_of_the_scheduler_fails_its_waiters() -> None:
    def broken_clock() -> float:
        readings.append(0.0)
        if len(readings) > 1:
            raise RuntimeError("no clock")
        return 0.0

    readings: list[float] = []
    batcher = Batcher("test", Backend().run, limits=LIMITS, clock=broken_clock)
    with pytest.raises(Unavailable, match="restart"):
        await batcher.submit(1, 10, Work(tenant="a", deadline=Deadline(5.0)))
