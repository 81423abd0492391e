import asyncio

import pytest

from rag.base.alarm import Alarm
from tests.simulated import now_s, simulate


async def _waits(alarm, within_s, work_s):
    """How a wait ended: "done", "late" or, where somebody else cancelled it, an error."""
    alarm.set(within_s)
    try:
        await asyncio.sleep(work_s)
    except asyncio.CancelledError:
        if not alarm.is_the_cause():
            raise
        return "late"
    else:
        return "done"
    finally:
        alarm.unset()


def test_a_wait_ends_when_its_time_is_up():
    async def scenario():
        alarm = Alarm()
        ended = [await _waits(alarm, 1, 0.5), now_s(), await _waits(alarm, 1, 5), now_s(), await _waits(alarm, 2, 1)]
        alarm.close()
        return ended

    assert simulate(scenario()) == ["done", 0.5, "late", 1.5, "done"]


@pytest.mark.parametrize(("first_s", "second_s"), [(10, 1), (1, 10)])
def test_each_wait_has_its_own_time_whatever_the_one_before_had(first_s, second_s):
    async def scenario():
        alarm = Alarm()
        assert await _waits(alarm, first_s, 0.1) == "done"
        began_s = now_s()
        assert await _waits(alarm, second_s, 100) == "late"
        assert now_s() - began_s == pytest.approx(second_s)

    simulate(scenario())


def test_between_waits_it_does_not_ring():
    async def scenario():
        alarm = Alarm()
        await _waits(alarm, 1, 0)
        await asyncio.sleep(5)
        alarm.set(1)
        alarm.close()
        await asyncio.sleep(5)

    simulate(scenario())


def test_one_who_is_cancelled_by_somebody_else_is_not_late():
    async def scenario():
        waiting = asyncio.ensure_future(_waits(Alarm(), 1, 5))
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    simulate(scenario())


def test_it_may_be_rung_before_its_time():
    async def scenario():
        alarm = Alarm()
        asyncio.get_running_loop().call_later(0.5, alarm.ring)
        assert await _waits(alarm, 60, 100) == "late"
        assert now_s() == pytest.approx(0.5)
        alarm.ring()  # nobody waits
        await asyncio.sleep(0)
        alarm.close()

    simulate(scenario())
