"""How Python is set in a process that serves: neither a thread nor the garbage collector shall hold up the loop."""

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.0002
"""How long a thread may keep the interpreter from the loop. Beside one that searches the index all the time, twelve
turns of the loop took 0.4 ms in the median and 4.6 ms (p99) with a millisecond, 0.8 ms with this, for 1 % more CPU
there and 5 % of the loop's own; half of it gained 0.3 ms more for 18 % of the loop's (2 cores, 2026-11-24)."""

YOUNG_OBJECTS: Final = 3_000
"""How many more objects there may be before the collector looks; with 10,000 it stops everything for 5 ms, not 1.5."""


def ready_the_interpreter() -> None:
    """To be called once all that lives as long as the server is there: the collector is spared that, 84,000 objects.

    It stopped everything for 160 ms to look through them, every few thousand requests; without, a full collection takes
    well under a millisecond, and a request a tenth less (2 cores, busy, 2026-11-23). What a batch of searches makes and
    drops is more than Python's 700 objects: looked at that often it costs 49 µs of each, at 3,000 it is 17.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
