"""How much of the corpus is of use: which documents the answers of the last day found, and which they cited."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Protocol

from rag.base.answers import Answer
from rag.base.deadline import Clock
from rag.base.errors import GroundwireError

WINDOW_S: Final = 24 * 3600.0
MAX_DOCUMENTS: Final = 200_000
"""Of each use; more different ones in a day are not told apart from this many."""


COUNT_PATIENCE_S: Final = 1.0
"""How long whoever asks for metrics waits for a store that is slow to count."""


class Counted(Protocol):
    """What has documents."""

    async def n_documents(self) -> int:
        """How many there are, whoever may see them."""
        ...


async def corpus_size(store: Counted, patience_s: float = COUNT_PATIENCE_S) -> int | None:
    """How many documents there are; None where the store does not say so in time."""
    try:
        async with asyncio.timeout(patience_s):
            return await store.n_documents()
    except (GroundwireError, TimeoutError):
        return None


class Used:
    """The different documents that were seen within the window, the one that was seen last at the end."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._seen_s: OrderedDict[str, float] = OrderedDict()

    def see(self, documents: Iterable[str]) -> None:
        """They were used just now."""
        now_s = self._clock()
        for document in documents:
            self._seen_s[document] = now_s
            self._seen_s.move_to_end(document)
        while len(self._seen_s) > MAX_DOCUMENTS:
            self._seen_s.popitem(last=False)

    def __len__(self) -> int:
        oldest_s = self._clock() - WINDOW_S
        while self._seen_s and next(iter(self._seen_s.values())) < oldest_s:
            self._seen_s.popitem(last=False)
        return len(self._seen_s)


class Coverage:
    """What answers made use of."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.retrieved = Used(clock)
        self.cited = Used(clock)

    def see(self, answer: Answer) -> None:
        """One more answer."""
        self.retrieved.see(candidate.passage.chunk.document_id for candidate in answer.candidates)
        self.cited.see(citation.document_id for citation in answer.citations)
