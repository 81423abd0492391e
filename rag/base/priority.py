"""Letting others go first: the event loop before what is computed for questions, and that before bulk work.

Where processors are few, whoever computes has them when the loop wakes up, and then every turn of the loop waits: those
of requests that need nothing but to be refused, too.
"""

import os
import threading
from contextlib import suppress
from typing import Final

COMPUTING: Final = 2
"""In steps of `nice`: two thirds of what the loop gets where both want a processor. Twice the load was refused in half
the time (median of three turns 10 for 22 ms), and as much was served; 5 steps gained no more (2 cores, 2026-11-24)."""

BULK: Final = COMPUTING + 5
"""A third of what is computed for questions gets, so that it still goes on."""


def step_back(steps: int) -> None:
    """Lowers the priority of the calling thread for good, and of those that it starts: on Linux each has its own."""
    thread = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it, and it is a courtesy
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + steps)
