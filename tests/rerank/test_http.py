import asyncio
import json

import httpx
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, Unavailable
from rag.base.types import Work
from rag.infer.remote import Remote
from rerank.blend import Blend
from rerank.blended import BlendingReranker
from rerank.config import HttpRerankConfig
from rerank.http import HttpScorer
from tests.prompts import a_source
from tests.remote_models import Script, mocked, rerank_server

WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")))
TEXTS = ["apples and pears", "red pears", "the red apple", "plums"]
CANDIDATES = [a_source(marker, text).candidates[0] for marker, text in enumerate(TEXTS, start=1)]


def scorer(handler, **changes) -> HttpScorer:
    config = HttpRerankConfig(**{"base_url": "http://up/v1", "model": "m", "max_attempts": 1} | changes)
    return HttpScorer(config, Remote(config, "rerank", mocked(handler)))


def reranker(handler, **changes) -> BlendingReranker:
    return BlendingReranker(scorer(handler, **changes), Blend(weight=1.0), depth=3)


@pytest.mark.parametrize("dialect", ["cohere", "tei"])
async def test_the_server_decides_the_order_of_what_it_read(dialect):
    found = await reranker(rerank_server, dialect=dialect).rerank("red apple", CANDIDATES, 9, WORK)
    assert [candidate.passage.chunk.text for candidate in found] == [
        "the red apple",
        "red pears",
        "apples and pears",
        "plums",
    ]
    assert [leg.origin for leg in found[0].legs] == ["rerank", "blend"]
    assert found[3].legs == ()


async def test_more_passages_than_a_call_may_hold_go_in_several():
    sizes = []

    def counting(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["documents"]))
        return rerank_server(request)

    scores = await scorer(counting, batch_passages=3).score("red apple", TEXTS, WORK)
    assert sorted(sizes) == [1, 3]
    assert scores == await scorer(rerank_server).score("red apple", TEXTS, WORK)


async def test_an_error_is_not_wrapped_and_ends_the_other_calls():
    script = Script(httpx.Response(503))
    with pytest.raises(Unavailable):
        await scorer(script, batch_passages=1).score("q", TEXTS, WORK)
    assert len(asyncio.all_tasks()) == 1


async def test_a_score_that_is_missing_is_a_bad_dependency():
    one = httpx.Response(200, json={"results": [{"index": 0, "relevance_score": 1.0}]})
    with pytest.raises(BadDependency, match="1 scores for 3 passages"):
        await reranker(Script(one)).rerank("q", CANDIDATES, 4, WORK)
