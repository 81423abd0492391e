"""The one queue of the house: gathers work that waits for the same backend into batches.

Work-conserving: an idle backend starts at once, requests gather only while it is busy, and there is no timer. Which
waiting items go next is decided by the pure `take_batch`; `Batcher` acts on it. There is no owner loop that could die:
an arrival or an ended batch schedules one dispatch on the event loop, which also lets all arrivals of one tick join.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from rag.base.deadline import Clock
from rag.base.errors import DeadlineExceeded, GroundwireError, Overloaded, Unavailable
from rag.base.types import Lane, Work
from rag.infer.service_time import Load, ServiceTime, start_after
from rag.infer.shares import Shares
from rag.infer.timing import Timing
from rag.infer.turns import BatchLimits, Ticket, take_batch
from rag.telemetry import attributes, spans
from rag.telemetry.report import BatchReport
from rag.telemetry.spans import CURRENT, Span

HERE_S: Final = 0.003
"""How long a run on the event loop may be expected to take. A thread has to be woken and has to wake the loop again,
which takes half a millisecond where processors sleep while there is nothing to do (2 virtual cores, 2026-11-23)."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Run = Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]]


class _Waiter(Generic[Item, Result]):
    """One queued item with the future of the one who waits for it."""

    __slots__ = ("deadline_s", "future", "is_alone", "item", "span", "ticket")

    def __init__(self, item: Item, ticket: Ticket, work: Work) -> None:
        self.item = item
        self.ticket = ticket
        self.deadline_s = work.deadline.at_s
        self.is_alone = work.is_alone
        self.span = CURRENT.get()
        self.future: asyncio.Future[tuple[Result, Timing]] = asyncio.get_running_loop().create_future()


class Batcher(Generic[Item, Result]):
    """Runs items through `run` in batches, at most `limits.n_parallel` at a time.

    `run` gets a list of items and gives one result, or one exception, for each, in order. If it raises, the batch is
    halved and run again until the item at fault stands alone: only its caller sees the error.

    There may be another way to do the same, which does not leave the event loop: `here` is taken for an item that is
    alone, here and by its own word, while that is expected to be short.
    """

    def __init__(
        self,
        name: str,
        run: Run[Item, Result],
        *,
        limits: BatchLimits,
        here: Run[Item, Result] | None = None,
        on_batch: Callable[[BatchReport], None] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._name = name
        self._run = run
        self._here = here
        self._limits = limits
        self._on_batch = on_batch
        self._clock = clock
        self._waiting: list[_Waiter[Item, Result]] = []
        self._queued: dict[Lane, Load] = {"interactive": Load(), "bulk": Load()}
        self._turns: dict[str, float] = {}
        self._virtual_s = 0.0
        self._running: dict[asyncio.Task[None], tuple[Lane, float]] = {}  # with the time at which each should end
        self._scheduled = False
        self._closed = False
        self._service_time = ServiceTime()
        self._shares = Shares()

    async def submit(self, item: Item, n_tokens: int, work: Work) -> tuple[Result, Timing]:
        """The result for one item. Raises Overloaded, DeadlineExceeded, Unavailable, or what `run` raised for it."""
        return (await self.submit_all([(item, n_tokens)], work))[0]

    async def submit_all(self, items: Sequence[tuple[Item, int]], work: Work) -> list[tuple[Result, Timing]]:
        """The results for several (item, n_tokens), in order: all are admitted or none, and one failure fails all."""
        waiters = self._admit(items, work)
        try:
            return [await waiter.future for waiter in waiters]
        finally:
            self._abandon(waiters)

    def queue_depth(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def predicted_wait_s(self, lane: Lane = "interactive") -> float:
        """How long a new item would wait before it runs: for a running batch to end, and for the full ones before it.

        Learnt from recent batches. Items that arrive later and go first are not foreseen.
        """
        now_s = self._clock()
        ends_s = [max(now_s, end_s) for _, end_s in self._running.values()]
        ends_s += [now_s] * (self._places() - len(ends_s))
        return start_after(ends_s, map(self._service_time.of, self._batches_before(lane))) - now_s

    async def aclose(self) -> None:
        """Refuses new work, fails what waits, and waits for the batches that run."""
        self._closed = True
        self._fail_all(Unavailable(f"the {self._name} queue is closing; try again on another instance"))
        await asyncio.gather(*self._running, return_exceptions=True)

    def _batches_before(self, lane: Lane) -> list[float]:
        """The tokens of the batches that run before a new item of the lane; the last of its lane it joins."""
        limits = self._limits
        before, rest = self._queued["interactive"].batches(limits.interactive_tokens, limits.max_items)
        if lane == "interactive":
            return before
        return [
            *before,
            *([rest] if rest else []),
            *self._queued["bulk"].batches(limits.bulk_tokens, limits.max_items)[0],
        ]

    def _tokens_of(self, batch: Sequence[_Waiter[Item, Result]]) -> int:
        """What the backend computes for the batch, padding included."""
        counts = [waiter.ticket.n_tokens for waiter in batch]
        return max(counts) * len(counts) if self._limits.padded else sum(counts)

    def _admit(self, items: Sequence[tuple[Item, int]], work: Work) -> list[_Waiter[Item, Result]]:
        if self._closed:
            raise Unavailable(f"the {self._name} queue is closed; try again on another instance")
        n_tokens = sum(n for _, n in items)
        queued = self._queued[work.lane].n_tokens
        if queued and queued + n_tokens > self._limits.queue_tokens:
            raise Overloaded(
                f"the {self._name} queue is full ({queued} of {self._limits.queue_tokens} tokens wait)",
                retry_after_s=max(1, math.ceil(self.predicted_wait_s(work.lane))),
            )
        now_s = self._clock()
        is_quiet = work.lane == "interactive" and self._shares.asks_for_little(work.tenant, n_tokens, now_s)
        waiters = []
        for item, n in items:
            turn = max(self._virtual_s - self._limits.credit_tokens, self._turns.get(work.tenant, 0.0))
            self._turns[work.tenant] = turn + n
            ticket = Ticket(n, work.lane, turn, now_s, is_quiet)
            waiters.append(_Waiter[Item, Result](item, ticket, work))
            self._queued[work.lane].add(n)
        self._waiting.extend(waiters)
        self._schedule()
        return waiters

    def _abandon(self, waiters: Iterable[_Waiter[Item, Result]]) -> None:
        for waiter in waiters:
            waiter.future.cancel()
            if waiter.future.cancelled():
                self._schedule()  # so that the queue does not count who has left
            else:
                waiter.future.exception()  # retrieved: a group's other failures are not warnings

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        try:
            self._drop_the_departed()
            while self._waiting and len(self._running) < self._places():
                self._start(self._take())
        except Exception as fault:  # noqa: BLE001 - a seam: a fault of the scheduler must fail its waiters, not hang them
            self._closed = True
            self._fail_all(
                Unavailable(f"the {self._name} scheduler failed: {type(fault).__name__}; restart the server")
            )

    def _places(self) -> int:
        """How many batches may run now."""
        if any(waiter.ticket.is_quiet for waiter in self._waiting):
            return self._limits.n_parallel + self._limits.n_for_quiet
        n_tokens = sum(load.n_tokens for load in self._queued.values())
        gathers = n_tokens < self._limits.beside_tokens
        return (
            1
            if gathers and any(lane == "interactive" for lane, _ in self._running.values())
            else self._limits.n_parallel
        )

    def _drop_the_departed(self) -> None:
        now_s = self._clock()
        kept = []
        for waiter in self._waiting:
            if waiter.deadline_s <= now_s and not waiter.future.done():
                waited_s = now_s - waiter.ticket.enqueued_s
                waiter.future.set_exception(
                    DeadlineExceeded(f"waited {waited_s:.2f} s in the {self._name} queue, past the request's deadline")
                )
            if waiter.future.done():
                self._queued[waiter.ticket.lane].drop(waiter.ticket.n_tokens)
            else:
                kept.append(waiter)
        self._waiting = kept

    def _take(self) -> list[_Waiter[Item, Result]]:
        chosen = take_batch([waiter.ticket for waiter in self._waiting], self._clock(), self._limits)
        batch = [self._waiting[index] for index in chosen]
        taken = set(chosen)
        self._waiting = [waiter for index, waiter in enumerate(self._waiting) if index not in taken]
        for waiter in batch:
            self._queued[waiter.ticket.lane].drop(waiter.ticket.n_tokens)
            self._virtual_s = max(self._virtual_s, waiter.ticket.turn)
        if not self._waiting:
            self._turns.clear()  # an idle queue owes nobody anything
            self._virtual_s = 0.0
        return batch

    def _start(self, batch: list[_Waiter[Item, Result]]) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(batch), name=f"{self._name} batch")
        self._running[task] = batch[0].ticket.lane, self._clock() + self._service_time.of(self._tokens_of(batch))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if self._waiting:
            self._schedule()

    async def _serve(self, batch: list[_Waiter[Item, Result]]) -> None:
        started_s = self._clock()
        error: BaseException | None = None
        results: Sequence[Result | BaseException] = ()
        span: Span | None = None
        try:
            with spans.batch(f"batch {self._name}", [waiter.span for waiter in batch]) as span:
                results = await self._way_of(batch)([waiter.item for waiter in batch])
        except Exception as fault:  # noqa: BLE001 - a seam: whatever the backend raises belongs to the callers
            error = fault
        except asyncio.CancelledError:
            self._settle(batch, [Unavailable(f"the {self._name} queue was stopped")] * len(batch), started_s)
            raise
        self._report(batch, started_s, failed=error is not None, span=span)
        if error is None and len(results) != len(batch):
            error = RuntimeError(f"{self._name} gave {len(results)} results for {len(batch)} items")
        if error is None:
            self._settle(batch, results, started_s)
        elif len(batch) == 1 or isinstance(error, GroundwireError):
            self._settle(batch, [error] * len(batch), started_s)
        else:
            middle = len(batch) // 2
            await self._serve(batch[:middle])
            await self._serve(batch[middle:])

    def _way_of(self, batch: list[_Waiter[Item, Result]]) -> Run[Item, Result]:
        is_alone = len(batch) == len(self._running) == 1 and not self._waiting and batch[0].is_alone
        if self._here and is_alone and self._service_time.of(self._tokens_of(batch)) <= HERE_S:
            return self._here
        return self._run

    def _settle(
        self, batch: list[_Waiter[Item, Result]], results: Sequence[Result | BaseException], started_s: float
    ) -> None:
        ran_s = self._clock() - started_s
        told = []
        for waiter, result in zip(batch, results, strict=True):
            timing = Timing(queued_s=started_s - waiter.ticket.enqueued_s, ran_s=ran_s, batch_size=len(batch))
            told.append((waiter, result, timing))
        self._tell(told)

    def _tell(self, told: Sequence[tuple[_Waiter[Item, Result], Result | BaseException, Timing]]) -> None:
        """Lets the callers go on, some in this turn of the loop and the rest in the next ones."""
        at_once = self._limits.n_told_at_once
        for waiter, result, timing in told[:at_once]:
            if waiter.future.done():
                continue
            if isinstance(result, BaseException):
                waiter.future.set_exception(result)
            else:
                waiter.future.set_result((result, timing))
        if len(told) > at_once:
            asyncio.get_running_loop().call_soon(self._tell, told[at_once:])

    def _report(self, batch: list[_Waiter[Item, Result]], started_s: float, *, failed: bool, span: Span | None) -> None:
        report = BatchReport(
            queue=self._name,
            n_items=len(batch),
            n_tokens=sum(waiter.ticket.n_tokens for waiter in batch),
            padded_tokens=self._tokens_of(batch),
            waited_s=max(started_s - waiter.ticket.enqueued_s for waiter in batch),
            ran_s=self._clock() - started_s,
            n_waiting=len(self._waiting),
            failed=failed,
        )
        if report.ran_s > 0 and not failed:
            self._service_time.observe(report.padded_tokens, report.ran_s)
        if span is not None:
            span.describe = lambda _: attributes.batch(report)
        if self._on_batch:
            self._on_batch(report)

    def _fail_all(self, error: GroundwireError) -> None:
        for waiter in self._waiting:
            if not waiter.future.done():
                waiter.future.set_exception(error)
        self._waiting.clear()
        self._queued = {"interactive": Load(), "bulk": Load()}
