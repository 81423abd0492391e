"""What is set for the whole process, tried in one of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import gc, sys
from rag.serve.interpreter import ready_the_interpreter
kept = [[] for _ in range(10_000)]
ready_the_interpreter()
print(sys.getswitchinterval(), gc.get_freeze_count() > 10_000, gc.get_threshold()[0])
"""


def test_threads_take_short_turns_and_the_collector_spares_what_is_there() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    interval_s, spares, n_young = told.stdout.split()
    assert float(interval_s) == pytest.approx(0.0002)
    assert spares == "True"
    assert int(n_young) == 3_000
