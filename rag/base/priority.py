"""Letting others go first: work that nobody waits for takes the processor when those who answer leave it."""

import os
import threading
from contextlib import suppress
from typing import Final

STEP_BACK: Final = 5
"""In steps of `nice`: where both want a processor, a third of what the others get, so that it still goes on."""


def step_back() -> None:
    """Lowers the priority of the calling thread for good: on Linux each thread has its own."""
    thread = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it, and it is a courtesy
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + STEP_BACK)
