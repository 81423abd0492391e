import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency
from rag.base.types import Work
from rag.index.embedders.config import HttpEmbedderConfig
from rag.index.embedders.http import HttpEmbedder
from rag.infer.remote import Refused, Remote
from tests.indexing import tiny_tokenizer
from tests.remote_models import EmbeddingsServer, mocked

WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")), lane="bulk")


@asynccontextmanager
async def embedder_over(handler, **changes) -> AsyncIterator[HttpEmbedder]:
    config = HttpEmbedderConfig(**{"base_url": "http://up/v1", "model": "m", "dimension": 64} | changes)
    embedder = HttpEmbedder(config, Remote(config, "embeddings", mocked(handler)), tiny_tokenizer())
    try:
        yield embedder
    finally:
        await embedder.aclose()


async def test_many_texts_go_in_batches_and_come_back_in_order():
    server = EmbeddingsServer()
    texts = [f"cat {number}" for number in range(50)]
    async with embedder_over(server, batch_texts=8, max_connections=2) as embedder:
        vectors = await embedder.embed(texts, "passage", WORK)
    assert sum(server.sizes) == 50
    assert max(server.sizes) == 8
    assert len(server.sizes) == 7
    wanted = await server.embedder.embed(texts, "passage", WORK)
    assert np.abs(vectors - wanted).max() <= 1e-6


async def test_callers_at_the_same_time_share_a_call():
    server = EmbeddingsServer()
    async with embedder_over(server, max_connections=1) as embedder:
        await asyncio.gather(*(embedder.embed([f"cat {number}"], "query", WORK) for number in range(20)))
    assert server.sizes == [20]


async def test_prefixes_go_by_role_and_the_dimension_along_when_asked_to():
    server = EmbeddingsServer()
    settings = {"query_prefix": "query: ", "passage_prefix": "passage: ", "ask_dimension": True}
    async with embedder_over(server, **settings) as embedder:
        await embedder.embed(["cat"], "query", WORK)
        await embedder.embed(["cat"], "passage", WORK)
    assert [request["input"] for request in server.requests] == [["query: cat"], ["passage: cat"]]
    assert [request["dimensions"] for request in server.requests] == [64, 64]


async def test_a_text_is_cut_at_the_limit_and_an_empty_one_is_a_space():
    server = EmbeddingsServer()
    async with embedder_over(server, max_length_tokens=16) as embedder:
        await embedder.embed(["the cat sat " * 20, "the cat", ""], "passage", WORK)
    (long, short, empty) = server.requests[0]["input"]
    assert long.split() == ("the cat sat " * 20).split()[:14], "two of the sixteen are [CLS] and [SEP]"
    assert (short, empty) == ("the cat", " ")


async def test_a_text_that_the_server_refuses_fails_alone():
    server = EmbeddingsServer()

    async def picky(request: httpx.Request) -> httpx.Response:
        if "poison" in json.loads(request.content)["input"]:
            return httpx.Response(422)
        return await server(request)

    async with embedder_over(picky, max_connections=1) as embedder:
        texts = ["cat", "mat", "poison", "sat", "on"]
        results = await asyncio.gather(
            *(embedder.embed([text], "query", WORK) for text in texts), return_exceptions=True
        )
    assert [isinstance(result, Refused) for result in results] == [text == "poison" for text in texts]


async def test_a_wrong_address_is_asked_once_for_all():
    asked = []

    def nothing(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(404)

    async with embedder_over(nothing) as embedder:
        with pytest.raises(BadDependency, match="`base_url` and `model`"):
            await embedder.embed(["a", "b", "c"], "passage", WORK)
    assert len(asked) == 1


async def test_one_vector_for_two_texts_is_a_bad_dependency():
    body = {"data": [{"index": 0, "embedding": [1.0] * 64}]}
    async with embedder_over(lambda _: httpx.Response(200, json=body), max_attempts=1) as embedder:
        with pytest.raises(BadDependency, match="1 vectors for 2 texts"):
            await embedder.embed(["a", "b"], "passage", WORK)


async def test_a_revision_is_part_of_the_name():
    async with embedder_over(EmbeddingsServer(), model="bge", revision="2") as embedder:
        assert embedder.name == "bge@2"
