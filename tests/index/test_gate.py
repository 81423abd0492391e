import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rag.index.gate import Gate

Visit = tuple[bool, int, int | None]
"""Whether exclusive, how many turns of the loop it stays, and after how many it is cancelled, if ever."""

visits = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.none() | st.integers(0, 6)), max_size=12)


async def play(plan: Sequence[Visit]) -> list[int]:
    """Lets all in at once; returns who got in, in order, having checked who was in together."""
    gate, inside, entered = Gate(), set[int](), list[int]()

    async def visit(number: int, exclusive: bool, turns: int) -> None:
        async with gate.exclusive() if exclusive else gate.shared():
            entered.append(number)
            inside.add(number)
            try:
                for _ in range(turns):
                    assert inside == {number} if exclusive else all(not plan[other][0] for other in inside)
                    await asyncio.sleep(0)
            finally:
                inside.discard(number)

    tasks = [asyncio.create_task(visit(n, exclusive, turns)) for n, (exclusive, turns, _) in enumerate(plan)]
    for turn in range(7):
        for task, (_, _, cancelled_after) in zip(tasks, plan, strict=True):
            if cancelled_after == turn:
                task.cancel()
        await asyncio.sleep(0)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
    async with asyncio.timeout(5), gate.exclusive():
        assert not inside
    return entered


@given(visits)
def test_a_writer_is_alone_and_a_cancelled_visitor_never_leaves_the_gate_shut(plan: list[Visit]) -> None:
    entered = asyncio.run(play(plan))
    assert len(set(entered)) == len(entered) <= len(plan)


@given(visits)
def test_visitors_enter_in_the_order_in_which_they_came(plan: list[Visit]) -> None:
    entered = asyncio.run(play([(exclusive, turns, None) for exclusive, turns, _ in plan]))
    assert entered == list(range(len(plan)))


async def test_readers_are_inside_together() -> None:
    gate = Gate()
    n_inside = 0
    async with asyncio.timeout(5), gate.shared():
        n_inside += 1
        async with gate.shared():
            n_inside += 1
    assert n_inside == 2
