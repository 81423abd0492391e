"""Half of the relevant documents stay out of the index; the questions about them ought to be refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rag.base.answers import Answer, Lineage
from rag.base.errors import ConfigError
from rag.base.types import StopReason, Usage
from rag.evals.abstention import index_without, score_abstention, withheld_half
from rag.evals.collection import Collection
from rag.evals.retrieval import TENANT, URI_PREFIX
from rag.govern.access import managed_in
from tests.fake_store import MemoryStore
from tests.indexing import an_indexer

CORPUS = '{"_id": "a", "text": "the cat"}\n{"_id": "b", "text": "the mat"}\n{"_id": "c", "text": "on a mat sat"}\n'


def a_collection(qrels: dict[str, Sequence[str]], corpus: Path = Path("corpus.jsonl")) -> Collection:
    grades = {query: dict.fromkeys(documents, 1) for query, documents in qrels.items()}
    return Collection(name="tiny", corpus=corpus, queries={query: f"what is {query}?" for query in qrels}, qrels=grades)


def an_answer(confidence: float | None, *, refused: bool = False) -> Answer:
    stop: StopReason = "insufficient_evidence" if refused else "stop"
    lineage = Lineage(index="i", embedder="e", reranker="none", model="m@1", template="t")
    usage = Usage(input_tokens=0, output_tokens=0)
    return Answer(
        text="", citations=(), sources=(), usage=usage, lineage=lineage, stop_reason=stop, confidence=confidence
    )


@given(st.integers(0, 20), st.integers())
def test_half_of_the_relevant_documents_are_withheld_and_the_same_ones_for_a_seed(n: int, seed: int) -> None:
    collection = a_collection({f"q{number}": [f"d{number}"] for number in range(n)})
    collection.qrels["q-none"] = {"irrelevant": 0}
    withheld = withheld_half(collection, seed)
    assert len(withheld) == n // 2
    assert "irrelevant" not in withheld
    assert withheld == withheld_half(collection, seed)


async def test_only_the_rest_is_indexed(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(CORPUS)
    store = MemoryStore()
    await index_without(a_collection({}, corpus), frozenset("b"), an_indexer(store))
    page = await store.records(managed_in(TENANT), (), 10)
    assert {record.uri for record in page.records} == {URI_PREFIX + "a", URI_PREFIX + "c"}


async def test_what_could_not_be_indexed_ends_the_run(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(CORPUS)
    with pytest.raises(ConfigError, match="could not be indexed"):
        await index_without(a_collection({}, corpus), frozenset(), an_indexer(MemoryStore(), max_text_chars=5))


async def test_a_question_is_answerable_while_one_of_its_documents_is_left() -> None:
    collection = a_collection({"kept": ["a"], "half": ["a", "b"], "gone": ["b"], "gone too": ["b"]})
    answers = {"kept": an_answer(0.9), "half": an_answer(0.2), "gone": an_answer(0.2), "gone too": an_answer(0.1)}
    answers["gone too"] = replace(answers["gone too"], stop_reason="insufficient_evidence")
    told = []

    async def ask(question: str) -> Answer:
        return answers[question.removeprefix("what is ").removesuffix("?")]

    scores = await score_abstention(collection, frozenset("b"), ask, lambda: told.append(1))
    assert (scores.answerable, scores.unanswerable, len(told)) == (2, 2, 4)
    assert scores.roc_area == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert (scores.refused_answerable, scores.refused_unanswerable) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("qrels", "confidence", "reason"),
    [({"one": ["a"], "two": ["b"]}, None, "m@1"), ({"one": ["a"]}, 0.5, "too few")],
)
async def test_what_cannot_be_measured_is_refused(
    qrels: dict[str, Sequence[str]], confidence: float | None, reason: str
) -> None:
    async def ask(_: str) -> Answer:
        return an_answer(confidence)

    with pytest.raises(ConfigError, match=reason):
        await score_abstention(a_collection(qrels), frozenset("b"), ask)
