"""Equal work in flight is done once: who leads, who follows, who leaves, and when. In simulated time."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.deadline import Deadline
from rag.base.errors import DeadlineExceeded, Unavailable
from rag.infer.single_flight import SingleFlight
from tests.simulated import now_s, simulate

FOREVER = Deadline(float("inf"))


class Work:
    """Takes a second and gives the number of the run; the runs named fail."""

    def __init__(self, *failing: int) -> None:
        self.n_started = 0
        self.n_cancelled = 0
        self.failing = failing

    async def __call__(self) -> int:
        self.n_started += 1
        run = self.n_started
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        if run in self.failing:
            raise Unavailable(f"run {run} failed")
        return run


def flights() -> SingleFlight[str, int]:
    return SingleFlight(now_s)


async def outcome(flight: SingleFlight[str, int], work: Work, deadline: Deadline = FOREVER) -> object:
    """What came of it, and when."""
    try:
        return await flight.run("key", work, deadline), now_s()
    except (DeadlineExceeded, Unavailable) as error:
        return type(error), now_s()


def test_equal_work_is_done_once_and_nothing_is_remembered() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work()
        assert await asyncio.gather(*(outcome(flight, work) for _ in range(5))) == [(1, 1.0)] * 5
        assert await outcome(flight, work) == (2, 2.0)
        assert not flight._flights

    simulate(scenario())


def test_other_work_goes_on_beside_it() -> None:
    async def scenario() -> None:
        flight, one, other = flights(), Work(), Work()
        await asyncio.gather(flight.run("one", one, FOREVER), flight.run("other", other, FOREVER))
        assert (one.n_started, other.n_started, now_s()) == (1, 1, 1.0)

    simulate(scenario())


def test_a_leader_that_leaves_does_not_fail_its_followers() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work()
        leader = asyncio.create_task(outcome(flight, work))
        await asyncio.sleep(0.3)
        follower = asyncio.create_task(outcome(flight, work))
        await asyncio.sleep(0.3)
        leader.cancel()
        assert await follower == (1, 1.0)
        assert leader.cancelled()
        assert (work.n_started, work.n_cancelled) == (1, 0)

    simulate(scenario())


def test_work_that_nobody_waits_for_any_more_is_cancelled_and_not_boarded() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work()
        waiting = [asyncio.create_task(outcome(flight, work)) for _ in range(3)]
        await asyncio.sleep(0.5)
        for waiter in waiting:
            waiter.cancel()
        await asyncio.wait(waiting)
        assert await outcome(flight, work) == (2, 1.5)
        assert (work.n_started, work.n_cancelled) == (2, 1)

    simulate(scenario())


def test_a_leader_that_fails_fails_alone() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work(1)
        leader, *followers = await asyncio.gather(*(outcome(flight, work) for _ in range(3)))
        assert leader == (Unavailable, 1.0)
        assert followers == [(2, 2.0), (3, 2.0)]

    simulate(scenario())


def test_a_follower_with_a_fault_of_its_own_gets_its_own_error() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work(1, 2)
        outcomes = await asyncio.gather(*(outcome(flight, work) for _ in range(3)))
        assert outcomes == [(Unavailable, 1.0), (Unavailable, 2.0), (3, 2.0)]

    simulate(scenario())


def test_a_follower_waits_until_its_own_deadline_and_harms_nobody() -> None:
    async def scenario() -> None:
        flight, work = flights(), Work()
        patient, hasty = outcome(flight, work), outcome(flight, work, Deadline(0.4))
        assert await asyncio.gather(patient, hasty) == [(1, 1.0), (DeadlineExceeded, 0.4)]
        assert (work.n_started, work.n_cancelled) == (1, 0)

    simulate(scenario())


visits = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(1, 30), st.booleans()), min_size=1, max_size=12
)


@given(visits)
def test_whoever_comes_and_goes_everyone_is_served_and_nothing_is_left(
    visits: list[tuple[str, int, int, bool]],
) -> None:
    """Each visitor comes at a time, in tenths of a second, and then leaves or has a deadline after some more."""

    async def visit(flight: SingleFlight[str, int], work: Work, key: str, stay: float, *, leaves: bool) -> int | None:
        deadline = FOREVER if leaves else Deadline(now_s() + stay)
        try:
            async with asyncio.timeout(stay if leaves else None):
                return await flight.run(key, work, deadline)
        except (TimeoutError, DeadlineExceeded):
            return None

    async def scenario() -> None:
        flight, works = flights(), {"a": Work(), "b": Work()}

        async def visitor(key: str, at: int, stay: int, *, leaves: bool) -> None:
            await asyncio.sleep(at / 10)
            result = await visit(flight, works[key], key, stay / 10, leaves=leaves)
            stayed_s = now_s() - at / 10
            assert stayed_s <= 1 + 1e-9, "the work takes a second"
            assert result or stay <= 10, "whoever stays that long is served"

        await asyncio.gather(*(visitor(key, at, stay, leaves=leaves) for key, at, stay, leaves in visits))
        assert not flight._flights
        assert len(asyncio.all_tasks()) == 1
        alone = Counter(key for key, *_ in visits)
        assert all(work.n_started <= alone[key] for key, work in works.items())

    simulate(scenario())


def test_a_failed_flight_that_everyone_left_warns_of_nothing() -> None:
    async def scenario() -> None:
        flight = flights()

        async def stubborn() -> int:
            try:
                await asyncio.sleep(1)
            finally:
                raise Unavailable("failed while it was cancelled")

        leader = asyncio.create_task(flight.run("key", stubborn, FOREVER))
        await asyncio.sleep(0.5)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await asyncio.sleep(1)
        assert not flight._flights

    simulate(scenario())
