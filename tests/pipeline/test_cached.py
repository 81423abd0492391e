"""A question is answered once while it is asked, and again from memory while what its answer rests on is the same."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec.structs import replace

from cache.config import MemoryConfig, SemanticConfig
from cache.entry import Entry
from cache.key import CacheKey
from cache.memory import AnswerMemory
from rag.base.answers import Answer, Answered, AnswerEvent, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import Unavailable
from rag.base.types import CacheMode, Candidate, Principal, Query, TextDelta, Turn
from rag.pipeline.answer import Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.prompts import PromptBook, PromptConfig
from rag.pipeline.shared import SharedAnswerer
from tests.fakes import ReversingReranker, ScriptedModel
from tests.pipeline.test_answer import answerer
from tests.pipeline.test_prompts import text
from tests.remembered import empty_memory
from tests.shelf import Shelf

if TYPE_CHECKING:
    from cache.redis import SharedAnswers


class Index:
    """The state of an index; `epoch` None is one that nobody can tell."""

    epoch: int | None = 1


@pytest.fixture
def tower(shelf: Shelf) -> list[Candidate]:
    return shelf.candidates("tower", "It was built in 1889. It is tall.", [21])


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel("It was built in 1889. [1]")


@pytest.fixture
def recipe(tower: list[Candidate], model: ScriptedModel) -> Answerer:
    return answerer(tower, model)


def cached(recipe: Answerer, index: Index | None = None, config: MemoryConfig | None = None) -> CachedAnswerer:
    state = index or Index()
    chosen = config or MemoryConfig()
    return CachedAnswerer(recipe, empty_memory(chosen), chosen, epoch=lambda: state.epoch)


async def events(recipe: CachedAnswerer | SharedAnswerer, query: Query, *, stream: bool = True) -> list[AnswerEvent]:
    return [event async for event in recipe.answer(query, Deadline.after(10), stream=stream)]


async def ask(recipe: CachedAnswerer | SharedAnswerer, query: Query) -> Answer:
    last = (await events(recipe, query))[-1]
    assert isinstance(last, Answered)
    return last.answer


async def test_the_second_time_comes_from_memory_with_the_same_citations(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = cached(recipe)
    first, second = await ask(memory, query), await ask(memory, query)
    assert (first.cache.status, second.cache.status, second.cache.tier) == ("miss", "hit", "exact")
    assert (second.text, second.citations) == (first.text, first.citations)
    assert [source.text for source in second.sources] == [source.text for source in first.sources]
    assert len(model.prompts) == 1
    replay = await events(memory, query)
    assert "".join(event.text for event in replay if isinstance(event, TextDelta)) == first.text


async def test_what_holds_is_recalled_without_a_search(recipe: Answerer, query: Query) -> None:
    memory = cached(recipe)
    assert memory.recall(query) is None
    fresh = await ask(memory, query)
    kept = memory.recall(query)
    assert kept is not None
    assert (kept.text, kept.citations, kept.cache.tier) == (fresh.text, fresh.citations, "exact")
    last = (await events(memory, query))[-1]
    assert isinstance(last, Answered)
    assert last.answer.text == kept.text


@pytest.mark.parametrize("mode", ["write", "refresh", "off"])
async def test_nothing_is_recalled_for_who_does_not_read(recipe: Answerer, query: Query, mode: CacheMode) -> None:
    memory = cached(recipe)
    await ask(memory, query)
    assert memory.recall(replace(query, cache=mode)) is None
    assert memory.recall(replace(query, principal=Principal(subject="eve", tenant="other"))) is None


@pytest.mark.parametrize("epoch", [2, None])
async def test_nothing_is_recalled_that_must_be_held_against_a_search(
    recipe: Answerer, query: Query, epoch: int | None
) -> None:
    index = Index()
    memory = cached(recipe, index)
    await ask(memory, query)
    index.epoch = epoch
    assert memory.recall(query) is None


@pytest.mark.parametrize("epoch", [2, None])
async def test_a_changed_index_that_finds_the_same_answers_from_memory(
    recipe: Answerer, model: ScriptedModel, query: Query, epoch: int | None
) -> None:
    index = Index()
    memory = cached(recipe, index)
    await ask(memory, query)
    index.epoch = epoch
    assert (await ask(memory, query)).cache.status == "hit"
    assert (await ask(memory, query)).cache.status == "hit"
    assert len(model.prompts) == 1


@pytest.mark.parametrize("text", ["It was built in 1890. It is tall.", "It was built in 1889. It is tal1."])
async def test_changed_words_are_answered_anew(shelf: Shelf, query: Query, text: str) -> None:
    index, model = Index(), ScriptedModel("It was built. [1]")
    candidates = shelf.candidates("tower", "It was built in 1889. It is tall.", [21])
    memory = cached(answerer(candidates, model), index)
    await ask(memory, query)
    candidates[:] = shelf.candidates("tower", text, [21])
    index.epoch = 2
    second = await ask(memory, query)
    assert (second.cache.status, second.cache.rejected_by) == ("miss", "evidence")
    assert len(model.prompts) == 2
    assert (await ask(memory, query)).cache.status == "hit"


async def test_a_document_that_now_ranks_among_the_sources_is_read(shelf: Shelf, query: Query) -> None:
    index, model = Index(), ScriptedModel("It was built. [1]")
    candidates = shelf.candidates("tower", "It was built in 1889. It is tall.", [21])
    memory = cached(answerer(candidates, model), index)
    await ask(memory, query)
    candidates += shelf.candidates("news", "It was built in 1890, as we know now.", [])
    index.epoch = 2
    assert (await ask(memory, query)).cache.rejected_by == "evidence"
    assert len(model.prompts[-1].sources) == 2


async def test_others_rights_are_other_questions(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    await ask(memory, query)
    for principal in (Principal(subject="bob", tenant="acme"), Principal(subject="ann", tenant="other")):
        assert (await ask(memory, replace(query, principal=principal))).cache.status == "miss"
    assert len(model.prompts) == 3


async def test_the_caller_may_pass_it_by_or_renew_it(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    modes = ("read", "read", "write", "use", "off", "refresh", "read")
    statuses = [(await ask(memory, replace(query, cache=mode))).cache.status for mode in modes]
    assert statuses == ["miss", "miss", "miss", "hit", "off", "miss", "hit"]
    assert len(model.prompts) == 5


async def test_refreshing_forgets_even_when_the_new_answer_is_not_kept(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = cached(recipe)
    await ask(memory, query)
    model.failure = Unavailable("down")
    model.text = ""
    await ask(memory, replace(query, cache="refresh"))
    assert (await ask(memory, replace(query, cache="read"))).cache.status == "miss"


async def test_the_first_event_tells_where_the_answer_is_from(recipe: Answerer, query: Query) -> None:
    memory = cached(recipe)
    firsts = [(await events(memory, query))[0] for _ in range(2)]
    assert [first.cache.status for first in firsts if isinstance(first, SourcesFound)] == ["miss", "hit"]


async def test_equal_questions_in_flight_cost_one_call(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    answers = await asyncio.gather(*(ask(memory, query) for _ in range(100)))
    assert len(model.prompts) == 1
    assert {answer.text for answer in answers} == {"It was built in 1889. [1]"}


async def test_a_degraded_answer_is_not_kept(tower: list[Candidate], query: Query) -> None:
    broken = ScriptedModel("", failure=Unavailable("down"))
    memory = cached(answerer(tower, broken))
    first, second = await ask(memory, query), await ask(memory, query)
    assert (first.degraded, second.cache.status) == (("generate",), "miss")
    assert len(broken.prompts) == 2


async def test_without_a_memory_equal_questions_still_fly_together(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = SharedAnswerer(recipe)
    answers = await asyncio.gather(*(ask(memory, query) for _ in range(10)))
    assert len(model.prompts) == 1
    assert {answer.cache.status for answer in answers} == {"off"}
    assert (await ask(memory, replace(query, cache="off"))).text == "It was built in 1889. [1]"


SEMANTIC = MemoryConfig(semantic=SemanticConfig(verify_share=0.0, min_similarity=0.3))
REWORDED = "Hi, could you tell me when it was built?"


async def test_another_wording_is_answered_from_memory(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe, config=SEMANTIC)
    first = await ask(memory, query)
    second = await ask(memory, replace(query, text=REWORDED))
    assert (second.cache.status, second.cache.tier) == ("hit", "semantic")
    assert second.cache.similarity is not None
    assert 0.3 < second.cache.similarity < 1
    assert (second.text, second.citations) == (first.text, first.citations)
    assert len(model.prompts) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": "When was it not built?"}, "negation"),
        ({"text": "When was it built here, exactly there?"}, None),
        ({"text": "Why was it built?"}, "kind"),
        ({"text": REWORDED, "cache_min_similarity": 0.99}, "similarity"),
        ({"text": "zebra"}, "similarity"),
        ({"text": REWORDED, "cache": "write"}, None),
        ({"text": REWORDED, "principal": Principal(subject="bob", tenant="acme")}, None),
        ({"text": REWORDED, "history": (Turn(role="user", content="About the tower"),)}, None),
    ],
)
async def test_a_miss_says_what_spoke_against_the_nearest(
    recipe: Answerer, query: Query, changes: dict[str, object], reason: str | None
) -> None:
    memory = cached(recipe, config=SEMANTIC)
    await ask(memory, query)
    recall = (await ask(memory, replace(query, **changes))).cache
    if changes.get("text") == "When was it built here, exactly there?":
        assert recall.tier == "semantic"
        return
    assert (recall.status, recall.rejected_by) == ("miss", reason)


async def test_another_wording_is_held_against_the_evidence(shelf: Shelf, query: Query) -> None:
    model = ScriptedModel("It was built. [1]")
    candidates = shelf.candidates("tower", "It was built in 1889. It is tall.", [21])
    memory = cached(answerer(candidates, model), config=SEMANTIC)
    await ask(memory, query)
    candidates[:] = shelf.candidates("news", "It was built in 1890.", [])
    assert (await ask(memory, replace(query, text=REWORDED))).cache.rejected_by == "evidence"


async def test_in_the_shadow_nothing_is_served_and_everything_compared(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = cached(recipe, config=MemoryConfig(semantic=SemanticConfig(mode="shadow", min_similarity=0.3)))
    await ask(memory, query)
    assert (await ask(memory, replace(query, text=REWORDED))).cache.rejected_by == "shadow"
    model.text = "Quite another answer this time. [1]"
    assert (await ask(memory, replace(query, text=REWORDED + " Thanks"))).cache.rejected_by == "shadow"
    strict = memory._ledger.estimates()["strict"]
    assert (strict.n, strict.n_wrong) == (2, 1)


async def test_some_hits_are_answered_anew_to_know_how_many_are_wrong(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = cached(recipe, config=MemoryConfig(semantic=SemanticConfig(verify_share=0.25, min_similarity=0.3)))
    await ask(memory, query)
    wordings = replace(query, text=REWORDED, cache="read")
    recalls = [(await ask(memory, wordings)).cache for _ in range(8)]
    assert [recall.rejected_by for recall in recalls].count("verification") == 2
    assert memory._ledger.estimates()["strict"].n == 2


async def test_a_loose_match_is_served_once_enough_of_them_were_right(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    semantic = SemanticConfig(verify_share=0.0, min_similarity=0.3, max_false_hit_rate=0.3)
    memory = cached(recipe, config=MemoryConfig(semantic=semantic))
    await ask(memory, query)
    wider = replace(query, text="When was it built of iron?", cache="read")
    reasons = [(await ask(memory, wider)).cache.rejected_by for _ in range(12)]
    assert reasons[:9] == ["wording"] * 9
    assert reasons[9:] == [None] * 3, "0 wrong of 9 is below 0.3 with 95 % confidence"


async def test_off_means_off(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe, config=MemoryConfig(semantic=SemanticConfig(mode="off")))
    await ask(memory, query)
    recall = (await ask(memory, replace(query, text=REWORDED))).cache
    assert (recall.status, recall.similarity) == ("miss", None)


class Elsewhere:
    """What another server keeps."""

    def __init__(self, *memories: AnswerMemory) -> None:
        self.memories = memories
        self.n_asked = 0

    async def get(self, key: CacheKey) -> Entry | None:
        self.n_asked += 1
        hits = [memory.get(key) for memory in self.memories]
        return next((hit.entry for hit in hits if hit), None)


def beside(recipe: Answerer, there: Elsewhere) -> CachedAnswerer:
    remembered = empty_memory(MemoryConfig())
    shared = replace(remembered, shared=cast("SharedAnswers", there))
    return CachedAnswerer(recipe, shared, MemoryConfig(), epoch=lambda: 1)


async def test_what_another_server_keeps_is_given_once_a_search_supports_it(
    shelf: Shelf, model: ScriptedModel, query: Query
) -> None:
    remembered = empty_memory(MemoryConfig())
    candidates = shelf.candidates("tower", "It was built in 1889. It is tall.", [21])
    recipe = answerer(candidates, model)
    there = Elsewhere(remembered.memory)
    one = CachedAnswerer(recipe, remembered, MemoryConfig(), epoch=lambda: 1)
    two, three, changed = (beside(recipe, there) for _ in range(3))
    first = await ask(one, query)
    second = await ask(two, query)
    assert (second.text, second.cache.tier, len(model.prompts)) == (first.text, "exact", 1)
    assert (await ask(two, query)).cache.status == "hit"
    assert two.recall(query) is not None
    assert there.n_asked == 1, "it is here now"
    assert (await ask(three, replace(query, cache="write"))).cache.status == "miss"
    assert there.n_asked == 1, "who does not read asks nobody"
    candidates[:] = shelf.candidates("tower", "It was built in 1890. It is tall.", [21])
    last = await ask(changed, query)
    assert (last.cache.status, last.cache.rejected_by) == ("miss", "evidence")


def versions(**labels: int) -> PromptBook:
    """Two versions of the prompt, and labels for them."""
    return PromptBook({"answer": PromptConfig(versions={"2": text("two"), "3": text("three")}, labels=labels)})


@pytest.fixture
def profiles() -> Profiles:
    config = AnswerConfig(model="chosen", prompt="answer@production", allowed_prompts=("answer@*",))
    return Profiles(config, versions(production=2))


def systems(model: ScriptedModel) -> list[str]:
    """What the model was told by each prompt."""
    return [prompt.messages[0].content for prompt in model.prompts]


async def test_an_answer_by_one_prompt_is_never_given_for_another(
    tower: list[Candidate], model: ScriptedModel, query: Query, profiles: Profiles
) -> None:
    memory = cached(answerer(tower, model, profiles=profiles))
    first = await ask(memory, query)
    assert memory.recall(query) is not None
    assert memory.recall(replace(query, prompt="answer@3")) is None
    other = await ask(memory, replace(query, prompt="answer@3"))
    profiles.exchange(versions(production=3), {})
    moved = await ask(memory, query)
    assert systems(model) == ["two", "three"], "the label leads to what the other one was answered by"
    assert (first.cache.status, other.cache.status, moved.cache.status) == ("miss", "miss", "hit")
    assert first.lineage.template.startswith("answer.v2#")
    assert other.lineage.template == moved.lineage.template != first.lineage.template
    reworded = PromptConfig(versions={"3": text("3, reworded")}, labels={"production": 3})
    profiles.exchange(PromptBook({"answer": reworded}), {})
    assert memory.recall(replace(query, prompt="answer@3")) is None, "a number is no promise, the text is"


async def test_who_asked_before_labels_moved_is_answered_and_remembered_by_the_old_prompt(
    tower: list[Candidate], model: ScriptedModel, query: Query, profiles: Profiles
) -> None:
    class Interrupted(ReversingReranker):
        async def rerank(self, *args: Any) -> list[Candidate]:
            profiles.exchange(versions(production=3), {})
            return await super().rerank(*args)

    memory = cached(answerer(tower, model, Interrupted(), profiles))
    assert (await ask(memory, query)).lineage.template.startswith("answer.v2#")
    assert (await ask(memory, query)).lineage.template.startswith("answer.v3#")
    assert (await ask(memory, replace(query, prompt="answer@2"))).cache.status == "hit"
    assert systems(model) == ["two", "three"]
