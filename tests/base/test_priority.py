"""A thread that steps back, and no other."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from rag.base.priority import STEP_BACK, step_back


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_by_itself() -> None:
    before = own_niceness()
    with ThreadPoolExecutor(1, initializer=step_back) as threads:
        assert threads.submit(own_niceness).result() == min(before + STEP_BACK, 19)
    assert own_niceness() == before
