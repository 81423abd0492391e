"""The same question is answered once while it is asked, and again from memory until the index changes."""

import asyncio

import pytest
from msgspec.structs import replace

from cache.exact import ExactCache
from rag.base.deadline import Deadline
from rag.base.errors import Unavailable
from rag.base.types import Answer, Answered, AnswerEvent, Candidate, Principal, Query, TextDelta
from rag.pipeline.answer import Answerer
from rag.pipeline.cached import CachedAnswerer
from tests.fakes import ScriptedModel
from tests.pipeline.test_answer import answerer
from tests.shelf import Shelf


class Index:
    epoch = 1


@pytest.fixture
def tower(shelf: Shelf) -> list[Candidate]:
    return shelf.candidates("tower", "It was built in 1889. It is tall.", [21])


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel("It was built in 1889. [1]")


@pytest.fixture
def recipe(tower: list[Candidate], model: ScriptedModel) -> Answerer:
    return answerer(tower, model)


def cached(recipe: Answerer, index: type[Index] = Index, *, max_bytes: int = 10**6) -> CachedAnswerer:
    return CachedAnswerer(recipe, ExactCache(max_bytes, 60.0), lambda: index.epoch)


async def events(recipe: CachedAnswerer, query: Query, *, stream: bool = True) -> list[AnswerEvent]:
    return [event async for event in recipe.answer(query, Deadline.after(10), stream=stream)]


async def ask(recipe: CachedAnswerer, query: Query) -> Answer:
    last = (await events(recipe, query))[-1]
    assert isinstance(last, Answered)
    return last.answer


async def test_the_second_time_comes_from_memory_with_the_same_citations(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = cached(recipe)
    first, second = await ask(memory, query), await ask(memory, query)
    assert (first.cache, second.cache) == ("miss", "exact")
    assert (second.text, second.citations, second.sources) == (first.text, first.citations, first.sources)
    assert len(model.prompts) == 1
    replay = await events(memory, query)
    assert "".join(event.text for event in replay if isinstance(event, TextDelta)) == first.text


async def test_a_changed_index_forgets(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    class Moving(Index):
        epoch = 1

    memory = cached(recipe, Moving)
    await ask(memory, query)
    Moving.epoch += 1
    assert (await ask(memory, query)).cache == "miss"
    assert len(model.prompts) == 2


async def test_others_rights_are_other_questions(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    await ask(memory, query)
    for principal in (Principal(subject="bob", tenant="acme"), Principal(subject="ann", tenant="other")):
        assert (await ask(memory, replace(query, principal=principal))).cache == "miss"
    assert len(model.prompts) == 3


async def test_the_caller_may_pass_it_by_or_renew_it(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    await ask(memory, query)
    assert (await ask(memory, replace(query, cache="off"))).cache == "off"
    assert (await ask(memory, replace(query, cache="refresh"))).cache == "miss"
    assert len(model.prompts) == 3
    assert (await ask(memory, query)).cache == "exact"


async def test_equal_questions_in_flight_cost_one_call(recipe: Answerer, model: ScriptedModel, query: Query) -> None:
    memory = cached(recipe)
    answers = await asyncio.gather(*(ask(memory, query) for _ in range(100)))
    assert len(model.prompts) == 1
    assert {answer.text for answer in answers} == {"It was built in 1889. [1]"}


async def test_a_degraded_answer_is_not_kept(tower: list[Candidate], query: Query) -> None:
    broken = ScriptedModel("", failure=Unavailable("down"))
    memory = cached(answerer(tower, broken))
    first, second = await ask(memory, query), await ask(memory, query)
    assert (first.degraded, second.cache) == (("generate",), "miss")
    assert len(broken.prompts) == 2


async def test_without_a_memory_equal_questions_still_fly_together(
    recipe: Answerer, model: ScriptedModel, query: Query
) -> None:
    memory = CachedAnswerer(recipe, None, lambda: 1)
    answers = await asyncio.gather(*(ask(memory, query) for _ in range(10)))
    assert len(model.prompts) == 1
    assert {answer.cache for answer in answers} == {"off"}
