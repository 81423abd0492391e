"""One of three targets dies, slows down or is rate-limited under load: what users see, what it is still asked."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from rag.base.errors import GroundwireError, Unavailable
from tests.llm.routing.targets import Act, Actor, Stage, refusal, says
from tests.simulated import now_s, simulate

RATE = 40  # requests per second
FIRST_S = 0.2
STRIKES_S, HEALS_S, ENDS_S = 10.0, 30.0, 50.0
WITHIN_S, BACK_S = 3.0, 15.0

HARM: dict[str, Callable[[], list[Act]]] = {
    "killed": lambda: [0.001, Unavailable("connection refused")],
    "killed in mid-air": lambda: [FIRST_S, Unavailable("reset")],
    "slowed five times": lambda: says(*["word "] * 5, first_s=5 * FIRST_S, each_s=0.1),
    "rate-limited": lambda: [0.02, refusal("rate_limit", 429, 2.0)],
    "rate-limited, saying nothing": lambda: [0.02, refusal("rate_limit", 429)],
    "overloaded": lambda: [0.05, refusal("overload", 529)],
}


def well() -> list[Act]:
    return says(*["word "] * 5, first_s=FIRST_S, each_s=0.02)


class Run:
    """A steady load on three targets, the first of which is harmed for a while."""

    def __init__(self, harm: Callable[[], list[Act]]) -> None:
        self.errors: list[Exception] = []
        self.asked: list[tuple[float, str]] = []
        simulate(self._run(harm))

    async def _run(self, harm: Callable[[], list[Act]]) -> None:
        def script(name: str) -> Callable[[], list[Act]]:
            def acts() -> list[Act]:
                self.asked.append((now_s(), name))
                return harm() if name == "a" and STRIKES_S <= now_s() < HEALS_S else well()

            return acts

        stage = Stage(*[Actor(name, script(name)) for name in "abc"])

        async def one(number: int) -> None:
            await asyncio.sleep(number / RATE)
            try:
                await stage.ask()
            except GroundwireError as error:
                self.errors.append(error)

        await asyncio.gather(*(one(number) for number in range(int(RATE * ENDS_S))))

    def share(self, from_s: float, to_s: float) -> float:
        counts = Counter(name for at_s, name in self.asked if from_s <= at_s < to_s)
        return counts["a"] / sum(counts.values())


@pytest.mark.parametrize("harm", HARM)
def test_nobody_sees_it_and_it_is_left_alone_and_comes_back(harm):
    run = Run(HARM[harm])
    assert run.errors == []
    assert run.share(0, STRIKES_S) == pytest.approx(1 / 3, abs=0.08)
    assert run.share(STRIKES_S + WITHIN_S, HEALS_S) < 0.05
    assert run.share(HEALS_S + BACK_S, ENDS_S) > 0.8 / 3
