import pytest

from rag.telemetry.finished import FinishedTrace
from rag.telemetry.recent import STAYS_NS, RecentTraces


def ended(at_ns):
    return FinishedTrace(
        trace_id=f"{at_ns:032x}",
        request_id="r",
        name="GET /x",
        owner=None,
        started_ns=at_ns - 5,
        duration_ns=5,
        error=None,
        spans=(),
        batches=(),
    )


@pytest.mark.parametrize(("now_ns", "has_room"), [(STAYS_NS, False), (STAYS_NS + 10, True)])
def test_a_full_memory_has_room_once_its_oldest_has_been_there_for_a_second(now_ns, has_room):
    recent = RecentTraces(2)
    assert recent.has_room(0)
    recent.add(ended(10))
    assert recent.has_room(11)
    recent.add(ended(11))
    assert recent.has_room(now_ns) is has_room


def test_what_is_added_all_the_same_pushes_out_the_oldest():
    recent = RecentTraces(2)
    for at_ns in (10, 11, 12):
        recent.add(ended(at_ns))
    assert [trace.ended_ns for trace in recent.latest(lambda _: True)] == [12, 11]


def test_a_memory_of_none_has_no_room():
    recent = RecentTraces(0)
    recent.add(ended(10))
    assert not recent.has_room(10 + STAYS_NS)
