"""From settings to a memory of answers."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from cache.config import MemoryConfig
from cache.disk import open_cache_file
from cache.memory import AnswerMemory
from cache.risk import Ledger
from cache.tally import Tally


class Remembered(Struct, frozen=True):
    """The kept answers, what was learned of how far they carry, and what came of it."""

    memory: AnswerMemory
    ledger: Ledger
    tally: Tally


def empty_memory(config: MemoryConfig) -> Remembered:
    """A memory that knows nothing and dies with the process."""
    return Remembered(AnswerMemory(config.max_bytes), Ledger(config.semantic.max_false_hit_rate), Tally())


@asynccontextmanager
async def open_memory(config: MemoryConfig, folder: Path, namespace: str) -> AsyncIterator[Remembered]:
    """The memory with what an earlier process kept in the folder under the namespace; written out on leaving."""
    if not config.persist:
        yield empty_memory(config)
        return
    async with open_cache_file(folder, namespace) as file:
        entries, observations = await file.load(time.time(), config.max_bytes)
        memory = AnswerMemory(config.max_bytes, keeper=file)
        memory.restore(entries)
        yield Remembered(memory, Ledger(config.semantic.max_false_hit_rate, observations, file.observe), Tally())
