"""How long each stage of one request took, for the one who asked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rag.base.deadline import Clock


class Stages:
    """Collects wall seconds by stage name for one request; a stage that runs twice adds up."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._spent_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what happens inside, also when it fails."""
        started_s = self._clock()
        try:
            yield
        finally:
            self._spent_s[name] = self._spent_s.get(name, 0.0) + self._clock() - started_s

    def seconds(self) -> dict[str, float]:
        """The stages in the order in which they first ended."""
        return dict(self._spent_s)
