"""An answer memory without a file."""

from cache.config import MemoryConfig
from cache.factory import Remembered
from cache.memory import AnswerMemory
from cache.risk import Ledger
from cache.tally import Tally


def empty_memory(config: MemoryConfig) -> Remembered:
    """A memory that knows nothing and dies with the process."""
    return Remembered(AnswerMemory(config.max_bytes), Ledger(config.semantic.max_false_hit_rate), Tally())
