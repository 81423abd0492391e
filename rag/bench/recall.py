"""What the answer cache takes where it stands: kept answers, other wordings of them, and misses beside having none.

The search is the service's own over a real index; a model that answers at once stands in for the provider, so that a
miss and the same question without a cache differ by what the cache does.
"""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from cache.config import MemoryConfig, SemanticConfig
from cache.entry import Entry, Question
from cache.factory import Remembered, open_memory
from cache.key import CacheKey
from rag.base.answers import Answer, Answered
from rag.base.deadline import Deadline
from rag.base.errors import Unavailable
from rag.base.ports import Answers
from rag.base.types import Finished, ModelEvent, Principal, Prompt, Query, TextDelta, Usage
from rag.bench.overload import Finding
from rag.pipeline.answer import EXTRACTIVE, Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher

EXACT_MS, REWORDED_MS, MISS_MS = 1.0, 12.0, 1.0
ROUNDS: Final = 10
"""How often each kept question is asked again: a p99 needs thousands."""

TENANT: Final = "default"
"""Whose documents `rag ingest` makes them, if nobody says otherwise."""
_MODEL = "bench"
_FORMS = ("Could you please tell me {}", "Hello, {}", "{} Thanks in advance!")
_TIMEOUT_S = 60.0


class Times(Struct, frozen=True, kw_only=True):
    """Milliseconds by the clock. `more` is how much longer a miss took than the same question without a cache."""

    bare: list[float]
    more: list[float]
    more_cpu: list[float]
    """The same in processor time of the event loop, which is where the cache works."""
    exact: list[float]
    reworded: list[float]
    n_reworded: int
    """How many were asked in other words; those that did not hit have no time."""


async def measure(searcher: Searcher, questions: Sequence[str], n_others: int) -> Times:
    """Asks every question by turns without a cache and as a miss, then again, and then in other words.

    The memory holds `n_others` other questions of the same scope besides. Raises Unavailable where nothing is kept.
    """
    models = {_MODEL: _Model(), EXTRACTIVE: _Model()}
    recipe = Answerer(searcher, models, Profiles(AnswerConfig(model=_MODEL)), count=len, index="bench")
    async with _remembering(recipe) as (cached, remembered):
        await _asked(cached, _query(questions[0]))
        kept = next(remembered.memory.entries(), None)
        if kept is None:
            raise Unavailable("the first answer was not kept, so that there is nothing to measure")
        remembered.memory.restore(_others(kept, n_others))
        return await _times(recipe, cached, [_query(question) for question in questions[1:]])


def findings(times: Times) -> list[Finding]:
    """What the times show."""
    exact_ms, reworded_ms, more_ms = quantiles(times.exact, n=100)[98], median(times.reworded), median(times.more)
    hit = f"{len(times.reworded)} of {times.n_reworded} hit"
    return [
        Finding(
            claim=f"a kept answer takes at most {EXACT_MS:g} ms (p99)",
            figure=f"{exact_ms:.3f} ms, p50 {median(times.exact):.3f} ms",
            holds=exact_ms <= EXACT_MS,
        ),
        Finding(
            claim=f"a kept answer to another wording takes at most {REWORDED_MS:g} ms (p50)",
            figure=f"{reworded_ms:.2f} ms, {hit}",
            holds=reworded_ms <= REWORDED_MS,
        ),
        Finding(
            claim=f"a miss takes at most {MISS_MS:g} ms more than no cache (p50 of pairs)",
            figure=f"{more_ms:.3f} ms of {median(times.bare):.2f} ms, {median(times.more_cpu):.3f} ms of CPU",
            holds=more_ms <= MISS_MS,
        ),
    ]


class _Asked(Struct, frozen=True):
    """One question as it was answered; `cpu_ms` is of the event loop's thread."""

    wall_ms: float
    cpu_ms: float
    answer: Answer | None


async def _times(recipe: Answers, cached: Answers, queries: Sequence[Query]) -> Times:
    pairs = []
    for number, query in enumerate(queries):
        if number % 2:  # the later one finds warm caches
            pairs.append((await _asked(recipe, query), await _asked(cached, query)))
        else:
            missed = await _asked(cached, query)
            pairs.append((await _asked(recipe, query), missed))
    again = [_recalled(cached, query) for _ in range(ROUNDS) for query in queries]
    others = [replace(query, text=_FORMS[at % len(_FORMS)].format(query.text)) for at, query in enumerate(queries)]
    reworded = [await _asked(cached, query) for query in others]
    return Times(
        bare=[bare.wall_ms for bare, _ in pairs],
        more=[missed.wall_ms - bare.wall_ms for bare, missed in pairs],
        more_cpu=[missed.cpu_ms - bare.cpu_ms for bare, missed in pairs],
        exact=[asked.wall_ms for asked in again if asked.answer],
        reworded=[asked.wall_ms for asked in reworded if asked.answer and asked.answer.cache.tier == "semantic"],
        n_reworded=len(others),
    )


async def _asked(answers: Answers, query: Query) -> _Asked:
    began, began_cpu = time.perf_counter(), time.thread_time()
    answer = None
    async with aclosing(answers.answer(query, Deadline.after(_TIMEOUT_S), stream=False)) as events:
        async for event in events:
            if isinstance(event, Answered):
                answer = event.answer
    return _Asked((time.perf_counter() - began) * 1e3, (time.thread_time() - began_cpu) * 1e3, answer)


def _recalled(answers: Answers, query: Query) -> _Asked:
    began = time.perf_counter()
    answer = answers.recall(query)
    return _Asked((time.perf_counter() - began) * 1e3, 0.0, answer)


def _query(question: str) -> Query:
    principal = Principal(subject="bench", tenant=TENANT)
    return Query(text=question, principal=principal, request_id="bench")


@asynccontextmanager
async def _remembering(recipe: Answerer) -> AsyncIterator[tuple[CachedAnswerer, Remembered]]:
    """A cache with a file, as the service has by default, around the recipe. No hit is answered anew to verify it."""
    config = MemoryConfig(semantic=SemanticConfig(verify_share=0))
    with TemporaryDirectory(prefix="groundwire-bench-") as folder:
        async with open_memory(config, Path(folder), "bench") as remembered:
            yield CachedAnswerer(recipe, remembered, config, epoch=lambda: 0), remembered


def _others(kept: Entry, n: int) -> Iterator[Entry]:
    """So many entries of the same scope, to questions that are like none."""
    draw = np.random.default_rng(0)
    for number in range(n):
        vector = draw.standard_normal(len(kept.question.vector), dtype=np.float32)
        key = CacheKey(number.to_bytes(32, "big"), b"%d" % number, kept.key.scope)
        yield replace(kept, key=key, question=Question(f"question {number}", vector / np.linalg.norm(vector)))


class _Model:
    """Answers at once from the first source, if there is one."""

    name = _MODEL

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        """See the port."""
        yield TextDelta(text="The first source says what was asked [1].")
        yield Usage(input_tokens=prompt.n_tokens, output_tokens=10)
        yield Finished(reason="stop" if prompt.sources else "insufficient_evidence", model=self.name)
