"""The recipe over fakes: what is given out, and what a failing stage leaves."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from rag.base.answers import Answer, Answered, AnswerEvent, Cited, SourcesFound
from rag.base.deadline import Deadline
from rag.base.errors import DependencyError, InvalidInput, Overloaded, Unavailable
from rag.base.ports import ChatModel, Reranker, Retrieval
from rag.base.types import Candidate, Finished, ModelEvent, Prompt, Query, TextDelta, Work
from rag.pipeline.answer import Answerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rerank.none import NoReranker
from tests.fakes import HashingEmbedder, ReversingReranker, ScriptedModel
from tests.shelf import Shelf


class ShelfRetriever:
    """Gives the same candidates to everyone and remembers what it was asked."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.candidates = candidates
        self.requests: list[Retrieval] = []

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        self.requests.append(request)
        return self.candidates[: request.limit]


class BrokenReranker(ReversingReranker):
    async def rerank(self, *_args: object, **_kwargs: object) -> list[Candidate]:
        raise Overloaded("full", retry_after_s=1)


def answerer(
    candidates: list[Candidate], model: ChatModel, reranker: Reranker | None = None, profiles: Profiles | None = None
) -> Answerer:
    config = AnswerConfig(model="chosen")
    searcher = Searcher(HashingEmbedder(), ShelfRetriever(candidates), reranker or NoReranker(), config)
    models = {"chosen": model, "extractive": ScriptedModel("Extracted. [1]")}
    return Answerer(searcher, models, profiles or Profiles(config), count=len, index="test")


async def events(recipe: Answerer, query: Query, *, stream: bool = True) -> list[AnswerEvent]:
    return [event async for event in recipe.answer(query, Deadline.after(10), stream=stream)]


def answer_in(given: list[AnswerEvent]) -> Answer:
    last = given[-1]
    assert isinstance(last, Answered)
    return last.answer


@pytest.fixture
def tower(shelf: Shelf) -> list[Candidate]:
    return shelf.candidates("tower", "It was built in 1889. It is tall.", [21])


async def test_events_come_in_order_and_the_answer_repeats_them(tower: list[Candidate], query: Query) -> None:
    given = await events(answerer(tower, ScriptedModel("It was built in 1889. [1] Or not. [7]")), query)
    assert isinstance(given[0], SourcesFound)
    answer = answer_in(given)
    assert answer.text == "".join(event.text for event in given if isinstance(event, TextDelta))
    assert answer.text == "It was built in 1889. [1] Or not."
    assert [event.citation for event in given if isinstance(event, Cited)] == list(answer.citations)
    assert answer.citations[0].verified
    assert answer.stop_reason == "stop"
    assert answer.degraded == ()
    assert answer.lineage.model == "scripted@1"
    assert {"embed", "retrieve", "context", "generate"} <= set(answer.stages_s)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_fails_before_its_first_word_is_replaced(
    tower: list[Candidate], query: Query, stream: bool
) -> None:
    answer = answer_in(
        await events(answerer(tower, ScriptedModel("", failure=Unavailable("down"))), query, stream=stream)
    )
    assert answer.text == "Extracted. [1]"
    assert answer.degraded == ("generate",)


async def test_a_model_that_fails_after_its_first_word_ends_the_stream_with_its_error(
    tower: list[Candidate], query: Query
) -> None:
    recipe = answerer(tower, ScriptedModel("It was built", failure=Unavailable("down")))
    with pytest.raises(DependencyError):
        await events(recipe, query)
    answer = answer_in(await events(recipe, query, stream=False))
    assert answer.text == "Extracted. [1]", "without a stream nothing was given out yet"


async def test_a_stream_without_its_end_is_an_error(tower: list[Candidate], query: Query) -> None:
    class CutOff(ScriptedModel):
        async def stream(self, prompt, deadline):
            yield TextDelta(text="It was")

    with pytest.raises(DependencyError, match="middle"):
        await events(answerer(tower, CutOff("")), query)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("text", ["", " \n"])
async def test_an_answer_without_a_word_is_replaced(
    tower: list[Candidate], query: Query, caplog: pytest.LogCaptureFixture, text: str, stream: bool
) -> None:
    answer = answer_in(await events(answerer(tower, ScriptedModel(text)), query, stream=stream))
    assert (answer.text.strip(), answer.degraded) == ("Extracted. [1]", ("generate",))
    assert "without a word" in caplog.text, "the operator is told why"


async def test_a_model_that_writes_without_end_is_stopped(tower: list[Candidate], query: Query) -> None:
    model = ScriptedModel("spam " * 100_000, step=50_000)
    answer = answer_in(await events(answerer(tower, model), query, stream=False))
    assert (answer.text, answer.degraded) == ("Extracted. [1]", ("generate",))
    with pytest.raises(DependencyError, match="wrote over"):
        await events(answerer(tower, model), query)


async def test_reranking_that_fails_leaves_the_fused_order(
    tower: list[Candidate], query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    asked = replace(query, top_k=1)
    answer = answer_in(await events(answerer(tower, ScriptedModel("Yes."), BrokenReranker()), asked))
    assert answer.degraded == ("rerank",)
    assert "fused order: full" in caplog.text, "the operator is told why"
    assert answer.sources[0].candidates == (tower[0],)
    reranked = answer_in(await events(answerer(tower, ScriptedModel("Yes."), ReversingReranker()), asked))
    assert reranked.sources[0].candidates == (tower[1],)


async def test_nothing_found_is_never_put_before_a_paid_model(query: Query) -> None:
    model = ScriptedModel("I make things up.")
    answer = answer_in(await events(answerer([], model), query))
    assert model.prompts == []
    assert answer.text == "Extracted.", "a marker of no source is dropped"


async def test_an_unknown_model_is_the_callers_fault(tower: list[Candidate], query: Query) -> None:
    with pytest.raises(InvalidInput, match="chosen") as refused:
        await events(answerer(tower, ScriptedModel("")), replace(query, model="gpt-9"))
    assert refused.value.pointer == "/model"


async def test_a_history_that_should_have_been_summarised_is_named(tower: list[Candidate], query: Query) -> None:
    class Forgetful(ScriptedModel):
        async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
            async for event in super().stream(prompt, deadline):
                dropped = ("history", "history_summary")
                yield replace(event, dropped=dropped) if isinstance(event, Finished) else event

    assert answer_in(await events(answerer(tower, Forgetful("In 1889. [1]")), query)).degraded == ("history_summary",)
