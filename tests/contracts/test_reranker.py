"""What every Reranker promises, asked of each: the fakes, the shipped ones, remote ones of both shapes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, DeadlineExceeded, NotFound, Overloaded, Unavailable
from rag.base.ports import Reranker
from rag.base.types import Candidate, Work
from rag.infer.models import shipped_models
from rag.infer.remote import Remote
from rerank.blend import Blend
from rerank.blended import BlendingReranker
from rerank.config import HttpRerankConfig, OnnxRerankConfig
from rerank.factory import open_reranker
from rerank.http import HttpScorer
from rerank.none import NoReranker
from rerank.wire import Dialect
from tests.fakes import ReversingReranker
from tests.prompts import a_source
from tests.remote_models import mocked, rerank_server

PROMISED = (BadDependency, Overloaded, DeadlineExceeded, Unavailable)
QUESTION = "When did the oil embargo begin?"
TEXTS = [
    "Refunds are possible within thirty days.",
    "The oil embargo began in October 1973.",
    "",
    "Prices rose to 12 dollars when the embargo began. " * 40,
    "The tower is 330 metres tall.",
    "ß 😀",
]
CANDIDATES = [a_source(marker, text).candidates[0] for marker, text in enumerate(TEXTS, start=1)]


async def shipped(stack: AsyncExitStack, folder: Path) -> Reranker:
    model = next((model for model in shipped_models() if model.card.task == "rerank"), None)
    if model is None:
        pytest.skip("no cross-encoder ships yet")
    return await stack.enter_async_context(open_reranker(OnnxRerankConfig(model=str(model.path)), folder))


def remote(dialect: Dialect) -> Reranker:
    config = HttpRerankConfig(
        base_url="http://upstream/v1", model="m", dialect=dialect, depth=4, batch_passages=3, max_attempts=1
    )
    scorer = HttpScorer(config, Remote(config, "rerank", mocked(rerank_server)))
    logits = dialect == "tei"
    return BlendingReranker(scorer, Blend(weight=config.weight), depth=config.depth, scores_are_logits=logits)


@pytest.fixture(params=["none", "fake", "shipped", "cohere", "tei"])
async def reranker(request, tmp_path) -> AsyncIterator[Reranker]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "none":
                yield NoReranker()
            case "fake":
                yield ReversingReranker()
            case "shipped":
                yield await shipped(stack, tmp_path)
            case dialect:  # of a remote one
                yield remote(dialect)


def in_time(seconds: float = 60.0) -> Work:
    return Work(tenant="acme", deadline=Deadline.after(seconds))


def ids(candidates: list[Candidate]) -> list[str]:
    return [candidate.passage.chunk.id for candidate in candidates]


@pytest.mark.parametrize("limit", [1, 3, len(CANDIDATES), 100])
async def test_it_gives_at_most_that_many_of_what_it_got_each_once(reranker, limit):
    found = await reranker.rerank(QUESTION, CANDIDATES, limit, in_time())
    assert len(found) == min(limit, len(CANDIDATES))
    assert len(set(ids(found))) == len(found)
    passages = {candidate.passage.chunk.id: candidate.passage for candidate in CANDIDATES}
    assert all(candidate.passage == passages[candidate.passage.chunk.id] for candidate in found)


async def test_scores_of_one_origin_fall(reranker):
    found = await reranker.rerank(QUESTION, CANDIDATES, 100, in_time())
    blended = [candidate.score for candidate in found if candidate.origin == "blend"]
    assert blended == sorted(blended, reverse=True)


async def test_a_smaller_limit_gives_a_prefix(reranker):
    whole = await reranker.rerank(QUESTION, CANDIDATES, 100, in_time())
    assert ids(await reranker.rerank(QUESTION, CANDIDATES, 2, in_time())) == ids(whole)[:2]


async def test_nothing_in_nothing_out_and_one_stays_one(reranker):
    assert await reranker.rerank(QUESTION, [], 5, in_time()) == []
    assert ids(await reranker.rerank(QUESTION, CANDIDATES[:1], 5, in_time())) == ids(CANDIDATES[:1])


async def test_questions_at_the_same_time_do_not_mix(reranker):
    questions = [QUESTION, "How tall is the tower?", "Are refunds possible?", ""]
    together = await asyncio.gather(*(reranker.rerank(each, CANDIDATES, 6, in_time()) for each in questions))
    for question, found in zip(questions, together, strict=True):
        assert ids(found) == ids(await reranker.rerank(question, CANDIDATES, 6, in_time()))


async def test_past_the_deadline_it_ends_at_once_with_an_order_or_a_promised_error(reranker):
    async with asyncio.timeout(10):
        try:
            found = await reranker.rerank(QUESTION, CANDIDATES, 6, in_time(0.0))
        except PROMISED:
            return
    assert sorted(ids(found)) == sorted(ids(CANDIDATES))


async def test_passages_are_scored_in_their_order_and_each_by_itself(reranker):
    if reranker.name == "none":
        with pytest.raises(NotFound):
            await reranker.score(QUESTION, TEXTS, in_time())
        return
    scores = await reranker.score(QUESTION, TEXTS, in_time())
    assert len(scores) == len(TEXTS)
    assert max(range(len(TEXTS)), key=scores.__getitem__) in (1, 3)  # the two that share words with the question
    assert await reranker.score(QUESTION, TEXTS[1:2], in_time()) == pytest.approx(scores[1:2], abs=1e-5)
    assert await reranker.score(QUESTION, [], in_time()) == []
    assert reranker.scores_are_logits or all(0 <= score <= 1 for score in scores)


async def test_its_name_says_something(reranker):
    assert reranker.name
