"""The drill for real, in short: models are exchanged under load by a signal and over HTTP, and nobody notices."""

import pytest

from rag.bench.drill import Schedule, Told, drill


@pytest.mark.sockets
@pytest.mark.timeout(300)
async def test_reloads_of_the_real_server_fail_no_request():
    told = await drill("reloaded", Schedule(ends_s=3.0, n_reloads=10))
    assert told.errors == ()
    assert told.passed
    assert told.n_answered > 10
    assert told.n_reloads == 10


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"n_failed": 1}, False),
        ({"shares": (0.33, 0.06, 0.33)}, False),
        ({"shares": (0.33, 0.01, 0.1)}, False),
        ({"shares": None}, True),
        ({"shares": None, "n_failed_late": 1}, False),
        ({"n_failed_late": 3}, True),
    ],
)
def test_a_drill_is_passed_when_nobody_saw_it_and_the_target_went_and_came_back(changes, passed):
    told = {"harm": "killed", "n_answered": 9, "n_failed": 0, "n_failed_late": 0, "shares": (0.33, 0.01, 0.3)}
    assert Told(**told | changes).passed is passed
