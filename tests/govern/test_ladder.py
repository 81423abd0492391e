from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rag.govern.ladder import CLIMB_S, MAX_PATIENCE_S, PATIENCE_S, RUNGS, Effort, Ladder


class Climber:
    """A ladder with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ladder = Ladder(clock=lambda: self.now_s)

    def feel(self, pressure: float, seconds: float = 0.0) -> Effort:
        self.now_s += seconds
        return self.ladder.effort(pressure)

    def until(self, effort: Effort, pressure: float) -> float:
        """Seconds until the effort is that, while the pressure stays."""
        began_s = self.now_s
        while self.feel(pressure, 0.1) != effort:
            assert self.now_s < began_s + 1_000
        return self.now_s - began_s


def test_without_pressure_nothing_is_given_up() -> None:
    climber = Climber()
    assert {climber.feel(0.9, 0.1) for _ in range(100)} == {"full"}


def test_pressure_takes_one_rung_at_a_time() -> None:
    climber = Climber()
    assert [climber.feel(2.0, CLIMB_S / 2) for _ in range(5)] == ["fewer", "fewer", "none", "none", "none"]


def test_the_way_down_waits_until_all_has_been_well_for_a_while() -> None:
    climber = Climber()
    climber.until("none", 2.0)
    assert {climber.feel(0.7, 1.0) for _ in range(100)} == {"none"}, "less pressure is not yet relief"
    assert abs(climber.until("fewer", 0.1) - PATIENCE_S) < 0.2
    assert abs(climber.until("full", 0.1) - PATIENCE_S) < 0.2


def test_each_relapse_makes_it_more_patient_up_to_a_bound_and_peace_forgets_them() -> None:
    climber = Climber()
    climber.feel(2.0)
    waits = []
    for _ in range(8):
        waits.append(climber.until("full", 0.1))
        climber.feel(2.0, 0.6)
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]
    assert waits[-1] <= MAX_PATIENCE_S + 0.2
    climber.until("full", 0.1)
    climber.feel(0.1, 2 * MAX_PATIENCE_S)
    climber.feel(2.0, 0.1)
    assert climber.until("full", 0.1) < PATIENCE_S + 0.2


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.001, 5)), max_size=200))
def test_it_never_skips_a_rung(steps: list[tuple[float, float]]) -> None:
    climber = Climber()
    rungs = [0, *(RUNGS.index(climber.feel(pressure, seconds)) for pressure, seconds in steps)]
    assert all(abs(after - before) <= 1 for before, after in pairwise(rungs))


@given(st.floats(0, 3))
def test_a_steady_pressure_comes_to_rest(pressure: float) -> None:
    climber = Climber()
    efforts = [climber.feel(pressure, 0.1) for _ in range(400)]
    assert set(efforts[200:]) == {"none" if pressure > 1 else "full"}
