"""No answer crosses a tenant, a set of rights or a filter.

Every principal asks the same few questions in the same words and others, and every answer names who it was made for.
CI makes 1,500 lookups; `GROUNDWIRE_LOOKUPS=100000 pytest tests/pipeline/test_cache_scope.py` makes more.
"""

import os
import random
from collections.abc import AsyncIterator

from cache.config import MemoryConfig, SemanticConfig
from rag.base.answers import Answered
from rag.base.deadline import Deadline
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Finished, Match, ModelEvent, Principal, Prompt, Query, TextDelta, Work
from rag.pipeline.answer import Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rerank.none import NoReranker
from tests.fakes import HashingEmbedder
from tests.remembered import empty_memory
from tests.shelf import Shelf

N_LOOKUPS = int(os.environ.get("GROUNDWIRE_LOOKUPS", "1500"))
CONFIG = MemoryConfig(max_bytes=10**9, semantic=SemanticConfig(min_similarity=0.3, verify_share=0.0))
FORMS = ["When was the {} built?", "please, when was the {} built", "Could you tell me when the {} was built?"]
THINGS = ["tower", "bridge", "road", "dam"]


class Everyman:
    """Finds the same for everybody: were it not for the scope, every entry would serve everyone."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self._candidates = candidates

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        return self._candidates


class Naming:
    """Answers with the name of the scope that it is told."""

    name = "naming@1"
    scope = ""

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        yield TextDelta(text=f"For {self.scope}: 1889. [1]")
        yield Finished(reason="stop", model=self.name)


def scope_of(query: Query) -> str:
    who, filters = query.principal, "+".join(str(one) for one in query.filters)
    return f"{who.tenant}/{who.subject}/{'+'.join(sorted(who.groups))}/{filters}/{query.top_k}"


def asked(dice: random.Random) -> Query:
    groups = frozenset(dice.sample(["staff", "legal", "hr"], dice.randint(0, 3)))
    filters = dice.choice([(), (Match(field="format", any_of=("pdf",)),), (Match(field="format", any_of=("md",)),)])
    return Query(
        text=dice.choice(FORMS).format(dice.choice(THINGS)),
        principal=Principal(subject=dice.choice(["ann", "bob"]), tenant=dice.choice(["a", "b", "ab"]), groups=groups),
        request_id="r",
        filters=filters,
        top_k=dice.choice([3, 5]),
    )


async def test_nothing_crosses_a_scope(shelf: Shelf) -> None:
    model, dice = Naming(), random.Random(5)
    everyman = Everyman(shelf.candidates("tower", "The tower was built in 1889.", []))
    config = AnswerConfig(model="naming")
    recipe = Answerer(
        Searcher(HashingEmbedder(), everyman, NoReranker(), config),
        {"naming": model, "extractive": model},
        Profiles(config),
        count=len,
        index="everyman",
    )
    memory = CachedAnswerer(recipe, empty_memory(CONFIG), CONFIG, epoch=lambda: 1)
    n_hits = {"exact": 0, "semantic": 0}
    for _ in range(N_LOOKUPS):
        query = asked(dice)
        model.scope = scope_of(query)
        events = [event async for event in memory.answer(query, Deadline.after(10), stream=False)]
        answer = events[-1].answer if isinstance(events[-1], Answered) else None
        assert answer is not None
        assert answer.text.startswith(f"For {scope_of(query)}:")
        if answer.cache.tier:
            n_hits[answer.cache.tier] += 1
    assert min(n_hits.values()) > N_LOOKUPS / 20
