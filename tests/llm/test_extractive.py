from collections.abc import Sequence

import pytest

from llm.config import ExtractiveConfig
from llm.extractive import ExtractiveModel, embedding_scorer
from rag.base.deadline import Deadline
from rag.base.errors import Overloaded, Unavailable
from rag.base.types import Finished, ModelEvent, Prompt, TextDelta, Usage, Work
from tests.fakes import HashingEmbedder
from tests.prompts import a_prompt, a_source

OIL = "The 1973 oil crisis began in October 1973. Members of OPEC proclaimed an embargo. Prices rose to 12 dollars."
BREAD = "Bread is baked from flour. Flour is milled from wheat."


def a_model(**changes) -> ExtractiveModel:
    return ExtractiveModel(ExtractiveConfig(**changes), embedding_scorer(HashingEmbedder()))


async def answer(model: ExtractiveModel, prompt: Prompt, within_s: float = 10.0) -> tuple[str, Finished]:
    events: list[ModelEvent] = [event async for event in model.stream(prompt, Deadline.after(within_s))]
    *texts, usage, finished = events
    assert usage == Usage(input_tokens=0, output_tokens=0)
    assert isinstance(finished, Finished)
    return "".join(event.text for event in texts if isinstance(event, TextDelta)), finished


async def test_the_supporting_sentence_is_quoted_with_the_marker_of_its_source():
    text, finished = await answer(a_model(max_sentences=1), a_prompt("When did the oil crisis begin?", BREAD, OIL))
    assert text == "The 1973 oil crisis began in October 1973. [2]"
    assert finished.reason == "stop"
    assert finished.confidence is not None
    assert finished.confidence > 0.5


async def test_markers_are_those_of_the_sources_not_their_places():
    prompt = a_prompt("When did the oil crisis begin?", a_source(7, OIL))
    text, _ = await answer(a_model(max_sentences=1), prompt)
    assert text.endswith(" [7]")


async def test_sentences_come_in_reading_order_and_each_is_literally_in_its_source():
    text, _ = await answer(a_model(), a_prompt("Who proclaimed the embargo in the oil crisis?", OIL, BREAD))
    quotes = [piece.strip() for piece in text.split("[1]") if piece.strip()]
    assert 1 <= len(quotes) <= 3
    assert [OIL.index(quote) for quote in quotes] == sorted(OIL.index(quote) for quote in quotes)
    assert "Members of OPEC proclaimed an embargo." in quotes


async def test_it_abstains_and_names_the_nearest_documents_when_nothing_supports_an_answer():
    prompt = a_prompt(
        "How do volcanoes erupt?", a_source(1, BREAD, title="Bread\nbook"), a_source(2, OIL), a_source(3, BREAD)
    )
    text, finished = await answer(a_model(), prompt)
    assert finished.reason == "insufficient_evidence"
    assert text.startswith("The documents do not answer this question. Closest: ")
    assert "Bread book" in text
    assert "[" not in text


async def test_without_sources_there_is_nothing_near():
    text, finished = await answer(a_model(), a_prompt("Anything?"))
    assert text == "The documents do not answer this question."
    assert finished == Finished(reason="insufficient_evidence", model="extractive@1", confidence=0.0)


@pytest.mark.parametrize("failure", [Overloaded("full", retry_after_s=1.0), Unavailable("down")])
async def test_without_its_scorer_the_words_alone_decide(failure):
    async def failing(question: str, sentences: Sequence[str], work: Work) -> Sequence[float]:
        raise failure

    model = ExtractiveModel(ExtractiveConfig(max_sentences=1), failing)
    text, _ = await answer(model, a_prompt("When did the oil crisis begin?", OIL))
    assert text == "The 1973 oil crisis began in October 1973. [1]"


async def test_without_time_for_its_scorer_the_words_alone_decide():
    embedder = HashingEmbedder()
    model = ExtractiveModel(ExtractiveConfig(max_sentences=1), embedding_scorer(embedder))
    text, _ = await answer(model, a_prompt("When did the oil crisis begin?", OIL), within_s=0.0)
    assert text == "The 1973 oil crisis began in October 1973. [1]"
    assert embedder.n_embedded == 0


async def test_no_more_sentences_are_embedded_than_configured():
    embedder = HashingEmbedder()
    model = ExtractiveModel(ExtractiveConfig(max_embedded_sentences=2), embedding_scorer(embedder))
    await answer(model, a_prompt("When did the oil crisis begin?", OIL, BREAD))
    assert embedder.n_embedded == 3  # the question is the third


async def test_the_scorer_outweighs_the_words():
    async def prefers_flour(question: str, sentences: Sequence[str], work: Work) -> Sequence[float]:
        return [1.0 if "flour" in sentence.lower() else -1.0 for sentence in sentences]

    model = ExtractiveModel(ExtractiveConfig(max_sentences=1), prefers_flour)
    text, _ = await answer(model, a_prompt("What is bread made of?", OIL, BREAD))
    assert text == "Bread is baked from flour. [2]"


async def test_a_long_context_is_answered_the_same():
    prompt = a_prompt("When did the oil crisis begin?", OIL, *[f"{BREAD} Loaf {number}. " * 40 for number in range(20)])
    text, _ = await answer(a_model(max_sentences=1), prompt)
    assert text == "The 1973 oil crisis began in October 1973. [1]"
