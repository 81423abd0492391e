import asyncio

import pytest

from rag.base.errors import Overloaded
from rag.serve import held
from rag.serve.held import HeldBytes
from tests.simulated import now_s, simulate


class Uploads:
    """Uploads of known sizes that end when told to."""

    def __init__(self, budget):
        self.held = HeldBytes(budget)
        self.inside = []
        self.tasks = {}
        self.ends = {}

    async def start(self, name, size, within_s=60.0):
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._upload(name, size, within_s))
        await asyncio.sleep(0)

    async def end(self, name):
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def _upload(self, name, size, within_s):
        async with self.held.hold(size, within_s):
            self.inside.append(name)
            await self.ends[name].wait()


async def test_who_does_not_fit_waits_and_nobody_overtakes():
    uploads = Uploads(100)
    for name, size in (("a", 60), ("b", 60), ("c", 10)):
        await uploads.start(name, size)
    assert uploads.inside == ["a"], "c would fit, and b came before"
    await uploads.end("a")
    assert uploads.inside == ["a", "b", "c"]
    await uploads.end("b")
    await uploads.end("c")
    assert uploads.held.n_free == 100


async def test_one_larger_than_the_budget_goes_alone():
    uploads = Uploads(100)
    await uploads.start("a", 500)
    await uploads.start("b", 1)
    assert uploads.inside == ["a"]
    await uploads.end("a")
    await uploads.end("b")
    assert uploads.held.n_free == 100


async def test_one_that_leaves_the_line_makes_way():
    uploads = Uploads(100)
    await uploads.start("a", 60)
    await uploads.start("b", 60)
    await uploads.start("c", 40)
    uploads.tasks["b"].cancel()
    await asyncio.wait({uploads.tasks["b"]})
    await asyncio.sleep(0)
    assert uploads.inside == ["a", "c"]
    await uploads.end("a")
    await uploads.end("c")
    assert uploads.held.n_free == 100


async def test_one_that_leaves_as_its_turn_comes_gives_it_back():
    uploads = Uploads(100)
    await uploads.start("a", 100)
    await uploads.start("b", 100)
    uploads.ends["a"].set()
    while uploads.held._waiting:  # noqa: ASYNC110 - the moment between the turn and the waking
        await asyncio.sleep(0)
    uploads.tasks["b"].cancel()
    await asyncio.wait(uploads.tasks.values())
    assert uploads.inside == ["a"]
    assert uploads.held.n_free == 100


def test_who_waits_too_long_is_told_to_come_back():
    async def scenario():
        uploads = Uploads(100)
        await uploads.start("a", 100)
        with pytest.raises(Overloaded) as refusal:
            async with uploads.held.hold(1, 5.0):
                pass
        assert now_s() == 5.0
        assert refusal.value.retry_after_s == 5.0
        await uploads.end("a")
        assert uploads.held.n_free == 100

    simulate(scenario())


async def test_the_line_has_an_end():
    uploads = Uploads(100)
    await uploads.start("a", 100)
    waiting = [asyncio.create_task(uploads.held.hold(1, 60.0).__aenter__()) for _ in range(held.MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="wait already"):
        async with uploads.held.hold(1, 60.0):
            pass
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await uploads.end("a")
    assert uploads.held.n_free == 100
