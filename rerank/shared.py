"""Pairs that were read before are not read again, and pairs that several callers want now are read once."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

from rag.base.deadline import Clock
from rag.base.errors import DeadlineExceeded
from rag.base.types import Work
from rerank.scorer import Scorer

Key: TypeAlias = bytes
Scores: TypeAlias = dict[Key, float]


class _Flight:
    """Pairs that are being read, and how many callers wait for them."""

    __slots__ = ("keys", "n_waiting", "task")

    def __init__(self, keys: tuple[Key, ...], task: asyncio.Task[list[float]]) -> None:
        self.keys = keys
        self.task = task
        self.n_waiting = 0

    def scores(self) -> Scores:
        """The scores by pair; raises what the reading raised."""
        return dict(zip(self.keys, self.task.result(), strict=True))


class SharedScorer:
    """A `Scorer` over another that remembers the last `n_remembered` scores; 0 remembers none.

    A score depends on model, question and passage alone, so callers of different tenants may share one: whoever asks
    brings both texts along. As in `rag.infer.single_flight`, a reading belongs to nobody: it goes on while one caller
    waits, and when it fails its leader gets the error and the others read for themselves.
    """

    def __init__(self, scorer: Scorer, n_remembered: int, clock: Clock = time.monotonic) -> None:
        self.name = scorer.name
        self._scorer = scorer
        self._n_remembered = n_remembered
        self._clock = clock
        self._remembered: OrderedDict[Key, float] = OrderedDict()
        self._flights: dict[Key, _Flight] = {}

    async def score(self, question: str, passages: Sequence[str], work: Work) -> list[float]:
        """See `rerank.scorer.Scorer`. Equal passages of one call are read once as well."""
        keys = pair_keys(self.name, question, passages)
        texts = dict(zip(keys, passages, strict=True))
        found: Scores = {}
        while missing := [key for key in texts if key not in found]:
            found |= self._recall(missing)
            unread = {key: texts[key] for key in missing if key not in found}
            found |= await self._read(question, unread, work)
        return [found[key] for key in keys]

    def _recall(self, keys: Iterable[Key]) -> Scores:
        found = {key: self._remembered[key] for key in keys if key in self._remembered}
        for key in found:
            self._remembered.move_to_end(key)
        return found

    async def _read(self, question: str, texts: Mapping[Key, str], work: Work) -> Scores:
        """The scores of these pairs, less those that another caller was reading and failed to."""
        boarded = {self._flights[key] for key in texts if key in self._flights}
        new = tuple(key for key in texts if key not in self._flights)
        own = self._take_off(question, new, [texts[key] for key in new], work) if new else None
        await self._wait([*boarded, *([own] if own else [])], work)
        scores = own.scores() if own else {}
        for flight in boarded:
            if not flight.task.cancelled() and not flight.task.exception():
                scores |= {key: score for key, score in flight.scores().items() if key in texts}
        return scores

    def _take_off(self, question: str, keys: tuple[Key, ...], passages: Sequence[str], work: Work) -> _Flight:
        reading = asyncio.get_running_loop().create_task(self._scorer.score(question, passages, work), name="pairs")
        flight = _Flight(keys, reading)
        self._flights |= dict.fromkeys(keys, flight)
        reading.add_done_callback(lambda _: self._land(flight))
        return flight

    async def _wait(self, flights: Sequence[_Flight], work: Work) -> None:
        if not flights:
            return
        for flight in flights:
            flight.n_waiting += 1
        try:
            tasks = [flight.task for flight in flights]
            _, late = await asyncio.wait(tasks, timeout=work.deadline.remaining_s(self._clock))
        finally:
            for flight in flights:
                flight.n_waiting -= 1
                if not flight.n_waiting and not flight.task.done():
                    self._land(flight)  # at once, so that nobody boards what is being cancelled
                    flight.task.cancel()
        if late:
            raise DeadlineExceeded("the pairs of question and passage were not read by the request's deadline")

    def _land(self, flight: _Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]
        if flight.task.done() and not flight.task.cancelled() and not flight.task.exception():
            self._remember(flight.scores())

    def _remember(self, scores: Scores) -> None:
        self._remembered |= scores
        while len(self._remembered) > self._n_remembered:
            self._remembered.popitem(last=False)


def pair_keys(model: str, question: str, passages: Sequence[str]) -> list[Key]:
    """One key per passage: equal if, and for all that matters only if, model, question and passage are equal."""
    asked = blake2b(f"{model}\0{question}".encode("utf-8", "surrogatepass"), digest_size=32).digest()
    return [
        blake2b(passage.encode("utf-8", "surrogatepass"), key=asked, digest_size=16).digest() for passage in passages
    ]
