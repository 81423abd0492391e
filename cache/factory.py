"""From settings to a memory of answers."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from cache.config import MemoryConfig
from cache.disk import CacheFile, open_cache_file
from cache.memory import AnswerMemory
from cache.risk import Ledger
from cache.tally import Tally
from rag.base.errors import ConfigError

if TYPE_CHECKING:
    from cache.redis import SharedAnswers


class Remembered(Struct, frozen=True):
    """The kept answers, what was learned of how far they carry, what came of it, and what others and the file keep."""

    memory: AnswerMemory
    ledger: Ledger
    tally: Tally
    shared: "SharedAnswers | None" = None
    file: CacheFile | None = None

    def forget(self, documents: Sequence[str]) -> None:
        """Forgets every answer that was written from one of the documents."""
        self.memory.drop_documents(documents)
        if self.shared:
            self.shared.forget_documents(documents)

    def clear(self, tenant: str) -> int:
        """Forgets every answer of a tenant, and returns how many of them were here."""
        doomed = [entry.key.digest for entry in self.memory.entries() if entry.tenant == tenant]
        for digest in doomed:
            self.memory.drop(digest)
            self.ledger.forget(digest)
        if self.shared:
            self.shared.forget_tenant(tenant)
        if self.file:
            self.file.drop_unseen()
        return len(doomed)


@asynccontextmanager
async def open_memory(config: MemoryConfig, folder: Path, namespace: str) -> AsyncIterator[Remembered]:
    """The memory with what an earlier process kept in the folder under the namespace; written out on leaving.

    Raises ConfigError.
    """
    async with AsyncExitStack() as stack:
        shared = await _open_shared(config, namespace, stack)
        file = await stack.enter_async_context(open_cache_file(folder, namespace)) if config.persist else None
        memory = AnswerMemory(config.max_bytes, keepers=[keeper for keeper in (file, shared) if keeper])
        ledger = await _restored(file, memory, config)
        yield Remembered(memory, ledger, Tally(), shared, file)


async def _restored(file: CacheFile | None, memory: AnswerMemory, config: MemoryConfig) -> Ledger:
    """Puts what the file has into the memory, and gives what was learned."""
    if file is None:
        return Ledger(config.semantic.max_false_hit_rate)
    entries, observations = await file.load(time.time(), config.max_bytes)
    memory.restore(entries)
    return Ledger(config.semantic.max_false_hit_rate, observations, file.observe)


async def _open_shared(config: MemoryConfig, namespace: str, stack: AsyncExitStack) -> "SharedAnswers | None":
    if config.redis_url is None:
        return None
    try:
        from cache.redis import open_shared_answers
    except ModuleNotFoundError as missing:
        raise ConfigError(
            "shared answers need an extra: pip install 'groundwire[redis]'", path="cache.redis_url"
        ) from missing
    return await stack.enter_async_context(open_shared_answers(config.redis_url.reveal(), namespace))
