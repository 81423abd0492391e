"""Whatever happens to documents and rights between two questions, a kept answer is the one that would be made now.

CI runs a short walk; `GROUNDWIRE_SOAK=10000 pytest tests/pipeline/test_cache_soak.py` runs a long one.
"""

import os
import random
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, SemanticConfig
from cache.forgetting import ForgettingStore
from rag.base.answers import Answer, Answered
from rag.base.deadline import Deadline
from rag.base.types import EVERYONE, Match, ModelEvent, Principal, Prompt, Query, TextDelta
from rag.govern.access import managed_in, readable_by
from rag.index.retriever import BatchedRetriever
from rag.pipeline.answer import Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rerank.none import NoReranker
from tests.building import DIMENSION, EMBEDDER, FIELDS, document
from tests.fake_store import MemoryStore
from tests.fakes import QuotingModel
from tests.remembered import empty_memory

N_STEPS = int(os.environ.get("GROUNDWIRE_SOAK", "400"))
CONFIG = MemoryConfig(max_bytes=60_000, semantic=SemanticConfig(min_similarity=0.3))
WORDS = ["cat", "dog", "mat", "hat", "sun", "fog"]
ACLS = [(EVERYONE,), ("user:ann",), ("group:staff",), ()]
READERS = [
    Principal(subject="ann", tenant="acme"),
    Principal(subject="bob", tenant="acme", groups=frozenset({"staff"})),
    Principal(subject="ann", tenant="other"),
]


class Candid(QuotingModel):
    """Quotes all it is shown, and says so when that is nothing."""

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        if not prompt.sources:
            yield TextDelta(text="Nothing.")
        async for event in super().stream(prompt, deadline):
            yield event


class House:
    """A memory over a store, with the recipe in between."""

    def __init__(self, *, tells_epoch: bool) -> None:
        self.store = MemoryStore(fields=FIELDS, dimension=DIMENSION)
        remembered = empty_memory(CONFIG)
        self.memory = remembered.memory
        self.written = ForgettingStore(self.store, self.memory.drop_documents)
        config = AnswerConfig(model="quoting", context_tokens=200)
        searcher = Searcher(EMBEDDER, BatchedRetriever(self.store), NoReranker(), config)
        models = {"quoting": Candid(), "extractive": Candid()}
        recipe = Answerer(searcher, models, Profiles(config), count=len, index="memory")
        self.cached = CachedAnswerer(
            recipe,
            remembered,
            CONFIG,
            epoch=lambda: self.store.epoch if tells_epoch else None,
        )

    async def ask(self, query: Query) -> Answer:
        events = [event async for event in self.cached.answer(query, Deadline.after(60), stream=False)]
        assert isinstance(events[-1], Answered)
        return events[-1].answer


async def change(house: House, dice: random.Random) -> None:
    tenant, name = dice.choice(["acme", "acme", "other"]), f"file:{dice.randrange(12)}"
    if dice.random() < 0.25:
        await house.written.delete(managed_in(tenant), (Match(field="uri", any_of=(name,)),))
        return
    texts = [" ".join(dice.choices(WORDS, k=dice.randint(2, 5))) for _ in range(dice.randint(1, 2))]
    metadata = {"year": dice.choice([2001, 2002])}
    await house.written.put([await document(name, texts, tenant=tenant, acl=dice.choice(ACLS), metadata=metadata)])


def question(dice: random.Random) -> Query:
    filters = dice.choice([(), (), (Match(field="year", any_of=(2001,)),)])
    text = dice.choice(["", "Please tell me ", "Hi, "]) + " ".join(sorted(dice.sample(WORDS, 2)))
    return Query(text=text, principal=dice.choice(READERS), request_id="r", filters=filters, top_k=3)


async def still_stands(house: House, query: Query, answer: Answer) -> bool:
    """Whether every quote stands where it is said to, in a document that the reader may see now."""
    for citation in answer.citations:
        held = await house.store.passages(readable_by(query.principal), citation.document_id)
        text = "".join(passage.chunk.text for passage, _ in held)
        if text[citation.start : citation.stop] != citation.quote:
            return False
    return True


@pytest.mark.parametrize("tells_epoch", [True, False])
async def test_no_answer_is_stale(tells_epoch: bool) -> None:
    house, dice = House(tells_epoch=tells_epoch), random.Random(7)
    n_hits = n_after_change = n_reworded = 0
    changed = False
    for _ in range(N_STEPS):
        if dice.random() < 0.15:
            await change(house, dice)
            changed = True
            continue
        query = question(dice)
        given = await house.ask(query)
        fresh = await house.ask(replace(query, cache="off"))
        assert await still_stands(house, query, given)
        if given.cache.tier == "semantic":
            n_reworded += 1
        else:
            assert (given.text, given.citations, given.stop_reason) == (fresh.text, fresh.citations, fresh.stop_reason)
            assert [source.text for source in given.sources] == [source.text for source in fresh.sources]
        if given.cache.tier == "exact":
            n_hits += 1
            n_after_change += changed
        changed = False
    assert n_hits > N_STEPS / 20, "the walk must meet the memory"
    assert n_reworded > N_STEPS / 50
    assert n_after_change > N_STEPS / 400, "and some of it after a change, when the evidence decides"


async def test_what_is_deleted_does_not_lie_about() -> None:
    house = House(tells_epoch=True)
    await house.written.put([await document("file:a", ["cat mat"]), await document("file:b", ["dog hat"])])
    reader = READERS[0]
    for text in ("cat", "dog"):
        await house.ask(Query(text=text, principal=reader, request_id="r", top_k=1))
    assert len(house.memory) == 2
    await house.written.delete(managed_in("acme"), (Match(field="uri", any_of=("file:a",)),))
    assert [entry.question.text for entry in house.memory.entries()] == ["dog"]
