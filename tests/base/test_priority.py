"""A thread that steps back, and no other."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rag.base.priority import BULK, step_back


def own_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_by_itself() -> None:
    before = own_niceness()
    with ThreadPoolExecutor(1, initializer=partial(step_back, BULK)) as threads:
        assert threads.submit(own_niceness).result() == min(before + BULK, 19)
    assert own_niceness() == before
