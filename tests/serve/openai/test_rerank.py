import math

import pytest

from rag.govern.admission import Admission
from rag.govern.limits import Limits
from rag.serve.openai.rerank import BULK_DOCUMENTS
from rerank.none import NoReranker
from tests.fakes import ReversingReranker
from tests.serve.stage import StageSearcher, client_of, services

QUERY = "when did the oil embargo begin"
TEXTS = ["refunds take days", "the oil embargo did begin in 1973", "oil"]


class Probable(ReversingReranker):
    """A server that has made probabilities of its scores."""

    scores_are_logits = False

    async def score(self, question, passages, work):
        return [score / 10 for score in await super().score(question, passages, work)]


def staged(reranker=None):
    searcher = StageSearcher()
    searcher.reranker = reranker or ReversingReranker()
    return services(searcher=searcher)


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


async def test_cohere_s_shape_has_the_best_first_with_probabilities():
    body = {"model": "reversing", "query": QUERY, "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]], "top_n": 2}
    async with client_of(staged()) as client:
        reply = (await client.post("/v1/rerank", json=body)).json()
        with_texts = (await client.post("/v1/rerank", json=body | {"return_documents": True})).json()
    assert [one["index"] for one in reply["results"]] == [1, 2]
    assert [one["relevance_score"] for one in reply["results"]] == pytest.approx([sigmoid(5), sigmoid(1)])
    assert "document" not in reply["results"][0]
    assert [one["document"]["text"] for one in with_texts["results"]] == [TEXTS[1], TEXTS[2]]
    assert reply["meta"]["billed_units"] == {"search_units": 1}


@pytest.mark.parametrize("raw", [True, False])
async def test_tei_s_shape_is_a_bare_array(raw):
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": raw, "return_text": True, "truncate": True}
    async with client_of(staged()) as client:
        ranks = (await client.post("/rerank", json=body)).json()
    assert [(one["index"], one["text"]) for one in ranks] == [(1, TEXTS[1]), (2, TEXTS[2]), (0, TEXTS[0])]
    expected = [5, 1, 0]
    assert [one["score"] for one in ranks] == pytest.approx(expected if raw else [sigmoid(one) for one in expected])


async def test_scores_that_are_probabilities_already_stay_as_they_are():
    async with client_of(staged(Probable())) as client:
        ranks = (await client.post("/rerank", json={"query": QUERY, "texts": TEXTS})).json()
        refused = await client.post("/rerank", json={"query": QUERY, "texts": TEXTS, "raw_scores": True})
    assert [one["score"] for one in ranks] == pytest.approx([0.5, 0.1, 0.0])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "raw_scores")


async def test_without_a_reranker_there_is_none():
    async with client_of(staged(NoReranker())) as client:
        for path, body in (
            ("/v1/rerank", {"model": "any", "query": "q", "documents": ["x"]}),
            ("/rerank", {"query": "q", "texts": ["x"]}),
        ):
            response = await client.post(path, json=body)
            assert response.status_code == 404
            assert "reranker.kind" in response.json()["error"]["message"]


async def test_bounds_are_kept():
    body = {"model": "reversing", "query": QUERY}
    async with client_of(staged()) as client:
        for documents in ([], ["x"] * 1_001, [{"title": "x"}]):
            response = await client.post("/v1/rerank", json=body | {"documents": documents})
            assert response.status_code == 400
        assert (await client.post("/v1/rerank", json=body | {"model": "nope", "documents": ["x"]})).status_code == 404


@pytest.mark.parametrize(("n_documents", "lane"), [(3, "interactive"), (BULK_DOCUMENTS, "bulk")])
async def test_many_documents_wait_behind_those_who_ask_and_a_full_house_has_room_for_none(n_documents, lane):
    asked = []

    class Watched(ReversingReranker):
        async def score(self, question, passages, work):
            asked.append(work.lane)
            return await super().score(question, passages, work)

    searcher = StageSearcher()
    searcher.reranker = Watched()
    admission = Admission(Limits(max_in_flight=1))
    async with client_of(services(searcher=searcher, admission=admission)) as client:
        body = {"model": "reversing", "query": QUERY, "documents": ["x"] * n_documents}
        with admission.continued("others"):
            refused = await client.post("/v1/rerank", json=body)
        assert (refused.status_code, asked) == (503, [])
        assert (await client.post("/v1/rerank", json=body)).status_code == 200
    assert asked == [lane]
