"""The batcher in simulated time, under whatever comes."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded, Overloaded
from rag.base.types import Lane, Work
from rag.infer.batcher import Batcher
from rag.infer.turns import BatchLimits
from tests.simulated import now_s, simulate

LIMITS = BatchLimits(max_items=6, interactive_tokens=60, bulk_tokens=30, max_age_s=0.5, queue_tokens=300)
FIXED_S, PER_TOKEN_S = 0.005, 0.001
NEVER = 1e9


class Call(Struct, frozen=True):
    """Somebody who comes at a time with items of some tokens each, and may leave before they are done."""

    at_s: float
    tenant: str
    lane: Lane
    tokens: tuple[int, ...]
    within_s: float
    leaves_s: float | None = None


class Item(Struct, frozen=True, eq=False):
    """One item of a call."""

    call: Call
    n_tokens: int


class Backend:
    """Takes a fixed time for a batch and some for each token; a poisoned item fails its batch. Notes what it ran."""

    def __init__(self, poison: Item | None = None, *, fixed_s: float = FIXED_S) -> None:
        self.poison = poison
        self.fixed_s = fixed_s
        self.runs: list[tuple[float, float, list[Item]]] = []

    async def run(self, items: list[Item]) -> Sequence[int]:
        began_s = now_s()
        await asyncio.sleep(self.fixed_s + PER_TOKEN_S * sum(item.n_tokens for item in items))
        self.runs.append((began_s, now_s(), items))
        if self.poison in items:
            raise ValueError("poison")
        return [item.n_tokens for item in items]

    def began(self, item: Item) -> float:
        return next(began_s for began_s, _, items in self.runs if item in items)

    def idle_between(self, start_s: float, stop_s: float) -> float:
        busy = sum(max(0.0, min(end, stop_s) - max(begin, start_s)) for begin, end, _ in self.runs)
        return max(0.0, stop_s - start_s) - busy


class Outcome(Struct):
    """What a call came to: its results, its error, or neither when it left; and when."""

    call: Call
    items: list[Item]
    results: list[int] | None = None
    error: Exception | None = None
    ended_s: float = 0.0


async def played(calls: Sequence[Call], backend: Backend, limits: BatchLimits = LIMITS) -> list[Outcome]:
    batcher: Batcher[Item, int] = Batcher("test", backend.run, limits=limits, clock=now_s)

    async def call(one: Call) -> Outcome:
        await asyncio.sleep(one.at_s - now_s())
        outcome = Outcome(one, [Item(one, n_tokens) for n_tokens in one.tokens])
        work = Work(tenant=one.tenant, deadline=Deadline(one.at_s + one.within_s), lane=one.lane)
        try:
            async with asyncio.timeout(one.leaves_s):
                results = await batcher.submit_all([(item, item.n_tokens) for item in outcome.items], work)
            outcome.results = [result for result, _ in results]
        except TimeoutError:
            pass
        except (Overloaded, DeadlineExceeded, ValueError) as error:
            outcome.error = error
        outcome.ended_s = now_s()
        return outcome

    outcomes = list(await asyncio.gather(*(call(one) for one in calls)))
    await asyncio.sleep(60)  # for batches whose callers have left
    assert (batcher.queue_depth(), batcher.predicted_wait_s()) == (0, 0)
    await batcher.aclose()
    return outcomes


calls = st.builds(
    Call,
    at_s=st.integers(0, 1_000).map(lambda ms: ms / 1_000),
    tenant=st.sampled_from("abc"),
    lane=st.sampled_from(["interactive", "interactive", "bulk"]),
    tokens=st.lists(st.integers(1, 40), min_size=1, max_size=8).map(tuple),
    within_s=st.sampled_from([0.02, 0.3, NEVER]),
    leaves_s=st.sampled_from([None, None, 0.01, 0.2]),
)


@settings(max_examples=60)
@given(st.lists(calls, min_size=1, max_size=25))
def test_every_call_ends_rightly_and_the_backend_never_rests_while_somebody_waits(given_calls: list[Call]) -> None:
    backend = Backend()
    for outcome in simulate(played(given_calls, backend)):
        call, items = outcome.call, outcome.items
        ran = [item for item in items if any(item in batch for _, _, batch in backend.runs)]
        if outcome.results is not None:
            assert outcome.results == list(call.tokens)
        if isinstance(outcome.error, Overloaded):
            assert ran == [], "all of a group or nothing"
            assert outcome.ended_s == pytest.approx(call.at_s), "who finds no room is told at once"
        for item in ran:
            assert backend.began(item) < call.at_s + call.within_s + 1e-9, "nothing runs that is too late"
            assert backend.idle_between(call.at_s, backend.began(item)) < 1e-6
            if call.leaves_s is not None:
                assert backend.began(item) <= call.at_s + call.leaves_s + 1e-9, "nor what nobody waits for"
    assert len({id(item) for _, _, batch in backend.runs for item in batch}) == sum(len(b) for _, _, b in backend.runs)


def test_an_idle_backend_costs_no_time_at_all() -> None:
    call = Call(0.25, "a", "interactive", (7,), NEVER)
    (outcome,) = simulate(played([call], Backend()))
    assert outcome.ended_s == pytest.approx(0.25 + FIXED_S + 7 * PER_TOKEN_S)


@settings(max_examples=30)
@given(st.integers(1, 6), st.data())
def test_a_poisoned_item_is_found_by_halving(n_items: int, data: st.DataObject) -> None:
    crowd = [Call(0.1, "a", "interactive", (1,), NEVER) for _ in range(n_items)]
    bad = data.draw(st.integers(0, n_items - 1))

    class Poisoned(Backend):
        async def run(self, items: list[Item]) -> Sequence[int]:
            self.poison = next((item for item in items if item.call is crowd[bad]), None)
            return await super().run(items)

    backend = Poisoned()
    outcomes = simulate(played(crowd, backend))
    assert [outcome.error is not None for outcome in outcomes] == [number == bad for number in range(n_items)]
    assert len(backend.runs) <= 1 + 2 * (n_items - 1).bit_length()


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_nothing_starves(lane: Lane) -> None:
    stream = [Call(0.01 * n, "busy", "interactive", (20,), NEVER) for n in range(1_000)]
    waiter = Call(0.5, "other", lane, (20,), NEVER)
    backend = Backend()
    *_, outcome = simulate(played([*stream, waiter], backend, BatchLimits(interactive_tokens=60, bulk_tokens=30)))
    bound_s = BatchLimits().max_bulk_age_s if lane == "bulk" else 0.1
    assert backend.began(outcome.items[0]) - 0.5 <= bound_s + 0.2


@pytest.mark.parametrize("load", [0.5, 0.8, 2.0])
def test_few_questions_are_hardly_slower_beside_very_many(load: float) -> None:
    """A twentieth of all questions, at random times, to a store that takes 1 ms and 1 ms for each of at most 16."""
    chance = random.Random(1)
    limits = BatchLimits(max_items=16, interactive_tokens=16, credit_tokens=16, n_for_quiet=1)
    per_s = load * 16 / 0.017

    def arrivals(tenant: str, share: float) -> list[Call]:
        at_s, found = 0.0, []
        while (at_s := at_s + chance.expovariate(share * per_s)) < 6:
            found.append(Call(at_s, tenant, "interactive", (1,), 0.5))
        return found

    def p95_s(calls: list[Call]) -> float:
        outcomes = simulate(played(calls, Backend(fixed_s=0.001), limits))
        waited = sorted(one.ended_s - one.call.at_s for one in outcomes if one.call.tenant == "few")
        return waited[int(0.95 * len(waited))]

    few, many = arrivals("few", 0.05), arrivals("many", 0.95)
    assert p95_s(sorted([*few, *many], key=lambda call: call.at_s)) <= 1.5 * p95_s(few)


def test_a_quiet_tenant_is_hardly_slower_beside_one_with_nearly_all_of_the_load() -> None:
    limits = BatchLimits(interactive_tokens=60)
    questions = [Call(0.5 + n, "quiet", "interactive", (10,) * 12, NEVER) for n in range(5)]
    crowd = [Call(0.05 * n, "busy", "interactive", (10,) * 12, NEVER) for n in range(60)]  # 2.6 times what can be done

    def times(others: list[Call]) -> list[float]:
        outcomes = simulate(played([*others, *questions], Backend(), limits))
        return sorted(one.ended_s - one.call.at_s for one in outcomes if one.call.tenant == "quiet")

    assert times(crowd)[-1] <= 1.5 * times([])[-1]
