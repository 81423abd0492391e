"""Freed memory goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from rag.base.memory import give_back_freed

def anonymous_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

pieces = [bytes(1000) for _ in range(60_000)]
kept = pieces[::50]
del pieces
before = anonymous_kib()
give_back_freed()
print(before - anonymous_kib())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only GNU's C library can be asked to")
def test_pages_between_what_is_kept_are_given_back() -> None:
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 10_000
