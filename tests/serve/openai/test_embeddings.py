import base64

import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.types import Work
from rag.govern.admission import Admission
from rag.govern.limits import Limits
from rag.serve.openai.embeddings import BULK_INPUTS, MAX_INPUTS
from tests.fakes import HashingEmbedder
from tests.serve.stage import StageSearcher, client_of, services

PATH = "/v1/embeddings"
TEXTS = ["Refunds take 14 days.", "the quick brown fox", ""]


class WatchedEmbedder(HashingEmbedder):
    def __init__(self):
        super().__init__()
        self.asked = []

    async def embed(self, texts, role, work):
        self.asked.append((role, work.lane, work.tenant))
        return await super().embed(texts, role, work)


@pytest.fixture
def embedder():
    return WatchedEmbedder()


@pytest.fixture
async def client(embedder):
    searcher = StageSearcher()
    searcher.embedder = embedder
    async with client_of(services(searcher=searcher)) as client:
        yield client


async def vectors_of(texts):
    return await HashingEmbedder().embed(texts, "passage", Work(tenant="t", deadline=Deadline.after(5)))


async def test_each_text_has_its_vector_in_order_and_tokens_are_counted(client):
    response = await client.post(PATH, json={"model": "hashing@1", "input": TEXTS})
    body = response.json()
    assert [one["index"] for one in body["data"]] == [0, 1, 2]
    np.testing.assert_allclose([one["embedding"] for one in body["data"]], await vectors_of(TEXTS), atol=1e-7)
    assert body["usage"] == {"prompt_tokens": 4 + 4 + 0 + 3 * 2, "total_tokens": 14}
    assert (body["object"], body["data"][0]["object"], body["model"]) == ("list", "embedding", "hashing@1")


async def test_base64_holds_the_same_numbers(client):
    body = {"model": "hashing", "input": TEXTS[0], "encoding_format": "base64", "dimensions": 64, "user": "u"}
    [one] = (await client.post(PATH, json=body)).json()["data"]
    numbers = np.frombuffer(base64.b64decode(one["embedding"]), dtype="<f4")
    [expected] = await vectors_of(TEXTS[:1])
    assert numbers.tolist() == expected.tolist()


@pytest.mark.parametrize(("n_texts", "lane"), [(1, "interactive"), (BULK_INPUTS, "bulk")])
async def test_many_texts_wait_behind_those_who_ask(client, embedder, n_texts, lane):
    response = await client.post(PATH, json={"model": "hashing", "input": ["x"] * n_texts, "input_type": "query"})
    assert len(response.json()["data"]) == n_texts
    assert embedder.asked == [("query", lane, "acme")]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "nope"}, 404, None),
        ({"dimensions": 63}, 400, "dimensions"),
        ({"input": []}, 400, "input"),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, 400, "input"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": [[1, 2]]}, 400, "input"),
        ({"input": ["ok", "word " * 31]}, 400, "input.1"),
        ({"encoding_format": "int8"}, 400, "encoding_format"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_and_never_cut_in_silence(client, embedder, body, status, param):
    response = await client.post(PATH, json={"model": "hashing", "input": "x"} | body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert embedder.asked == []


@pytest.mark.parametrize("n_texts", [1, BULK_INPUTS])
async def test_a_full_house_has_no_room_for_texts_either(embedder, n_texts):
    searcher = StageSearcher()
    searcher.embedder = embedder
    admission = Admission(Limits(max_in_flight=1))
    async with client_of(services(searcher=searcher, admission=admission)) as client:
        body = {"model": "hashing", "input": ["x"] * n_texts}
        with admission.continued("others"):
            refused = await client.post(PATH, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_is_overloaded")
        assert "retry-after" in refused.headers
        assert embedder.asked == []
        assert (await client.post(PATH, json=body)).status_code == 200
        assert admission.n_in_flight == 0


async def test_few_texts_are_worked_on_like_a_question_and_many_are_not_counted(embedder):
    admission = Admission(Limits())
    seen = []

    class Counting(WatchedEmbedder):
        async def embed(self, texts, role, work):
            seen.append(admission.n_in_flight)
            return await super().embed(texts, role, work)

    searcher = StageSearcher()
    searcher.embedder = Counting()
    async with client_of(services(searcher=searcher, admission=admission)) as client:
        for n_texts in (1, BULK_INPUTS):
            await client.post(PATH, json={"model": "hashing", "input": ["x"] * n_texts})
    assert seen == [1, 0]
