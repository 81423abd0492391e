"""What the cache tells of itself."""

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, SemanticConfig
from cache.replies import Replies
from rag.base.deadline import Deadline
from rag.base.types import Candidate, Principal, Query
from rag.pipeline.cache_desk import CacheDesk
from rag.pipeline.cached import CachedAnswerer
from tests.fakes import ScriptedModel
from tests.pipeline.test_answer import answerer
from tests.remembered import empty_memory
from tests.shelf import Shelf

CONFIG = MemoryConfig(semantic=SemanticConfig(verify_share=0.0, min_similarity=0.3))
REWORDED = "Please, when was it built?"


class Desk:
    """A desk with what it looks at."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.model = ScriptedModel("It was built. [1]")
        recipe, remembered = answerer(candidates, self.model), empty_memory(CONFIG)
        self.cached = CachedAnswerer(recipe, remembered, CONFIG, epoch=lambda: 1, price=lambda _: 0.25)
        self.desk = CacheDesk(recipe, remembered, Replies(CONFIG), CONFIG, str)

    async def ask(self, query: Query) -> None:
        async for _ in self.cached.answer(query, Deadline.after(10), stream=False):
            pass


@pytest.fixture
def tower(shelf: Shelf) -> list[Candidate]:
    return shelf.candidates("tower", "It was built in 1889. It is tall.", [21])


async def test_the_report_counts_what_happened(tower: list[Candidate], query: Query) -> None:
    house = Desk(tower)
    assert house.desk.report().hit_rate is None
    for text in (query.text, query.text, REWORDED, "Why was it built?"):
        await house.ask(replace(query, text=text))
    report = house.desk.report()
    assert (report.entries, report.lookups) == (2, 4)
    assert (report.hits, report.hit_rate) == ({"exact": 1, "semantic": 1}, 0.5)
    assert report.rejected_by == {"kind": 1}
    assert report.saved_usd == 0.5
    assert 0 < report.bytes <= report.max_bytes
    assert report.loose_floor is None


async def test_clearing_is_for_one_tenant(tower: list[Candidate], query: Query) -> None:
    house = Desk(tower)
    await house.ask(query)
    await house.ask(replace(query, principal=Principal(subject="eve", tenant="other")))
    assert house.desk.clear("acme") == 1
    assert house.desk.clear("acme") == 0
    assert house.desk.report().entries == 1


async def test_explaining_shows_what_would_be_served_to_this_caller_and_asks_no_model(
    tower: list[Candidate], query: Query
) -> None:
    house = Desk(tower)
    for text in (query.text, "Why was it built?"):
        await house.ask(replace(query, text=text))
    n_asked = len(house.model.prompts)
    seen = await house.desk.explain(query, Deadline.after(10))
    assert seen.exact is not None
    assert (seen.exact.question, seen.exact.rejected_by) == (query.text, None)
    assert [(near.question, near.rejected_by) for near in seen.nearest] == [("Why was it built?", "kind")]
    seen = await house.desk.explain(replace(query, text=REWORDED), Deadline.after(10))
    assert seen.exact is None
    assert {near.question: near.rejected_by for near in seen.nearest} == {query.text: None, "Why was it built?": "kind"}
    stranger = replace(query, principal=Principal(subject="bob", tenant="acme"))
    assert (await house.desk.explain(stranger, Deadline.after(10))).nearest == ()
    tower[:] = []
    gone = await house.desk.explain(query, Deadline.after(10))
    assert gone.exact is not None
    assert gone.exact.rejected_by == "evidence"
    assert len(house.model.prompts) == n_asked
