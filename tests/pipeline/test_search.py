"""How much is looked for: more than is given out only where a reranker chooses from it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.errors import Overloaded
from rag.base.ports import Reranker, Retrieval
from rag.base.types import Candidate, Query, Work
from rag.govern.ladder import Effort
from rag.pipeline.config import AnswerConfig
from rag.pipeline.search import FEWER, Searcher
from rerank.none import NoReranker
from tests.fakes import HashingEmbedder, ReversingReranker
from tests.shelf import Shelf


class CountingRetriever:
    """Gives as many candidates as it is asked for."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.candidates = candidates
        self.limits: list[int] = []

    async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
        self.limits.append(request.limit)
        return self.candidates[: request.limit]


@pytest.mark.parametrize(
    ("reranker", "rerank", "top_k", "looked_for"),
    [
        (NoReranker(), True, 3, 3),
        (ReversingReranker(), False, 3, 3),
        (ReversingReranker(), True, 3, 8),
        (ReversingReranker(), True, 9, 9),
    ],
)
async def test_candidates_beyond_those_given_are_looked_for_to_rerank_them(
    shelf: Shelf, query: Query, reranker: Reranker, rerank: bool, top_k: int, looked_for: int
) -> None:
    retriever = CountingRetriever(shelf.candidates("tower", "0123456789", list(range(1, 10))))
    searcher = Searcher(HashingEmbedder(), retriever, reranker, AnswerConfig(n_candidates=8))
    found = await searcher.search(replace(query, top_k=top_k), Deadline.after(10), rerank=rerank)
    assert retriever.limits == [looked_for]
    assert len(found.candidates) == top_k


async def test_a_question_says_whether_it_is_alone(shelf: Shelf, query: Query) -> None:
    class Watched(CountingRetriever):
        async def retrieve(self, request: Retrieval, work: Work) -> list[Candidate]:
            alone.append(work.is_alone)
            await asyncio.sleep(0)
            return await super().retrieve(request, work)

    alone: list[bool] = []
    searcher = Searcher(HashingEmbedder(), Watched(shelf.candidates("a", "text", [])), NoReranker(), AnswerConfig())
    await searcher.search(query, Deadline.after(10))
    await asyncio.gather(*(searcher.search(query, Deadline.after(10)) for _ in range(2)))
    await searcher.search(query, Deadline.after(10))
    assert alone == [True, True, False, True]


async def test_a_repeated_passage_does_not_take_the_place_of_another(shelf: Shelf, query: Query) -> None:
    again = [
        *shelf.candidates("a", "same", []),
        *shelf.candidates("b", "Same ", []),
        *shelf.candidates("c", "other", []),
    ]
    retriever = CountingRetriever(again)
    searcher = Searcher(HashingEmbedder(), retriever, NoReranker(), AnswerConfig())
    found = await searcher.search(replace(query, top_k=2), Deadline.after(10))
    assert retriever.limits == [2, 4]
    assert [candidate.passage.chunk.text for candidate in found.candidates] == ["same", "other"]


@pytest.mark.parametrize(
    ("effort", "looked_for", "read", "degraded"),
    [
        ("full", 20, 20, ()),
        ("fewer", 20, FEWER, ("rerank_depth",)),
        ("none", 3, 0, ("rerank",)),
    ],
)
async def test_effort_says_how_much_is_reranked_and_the_result_says_what_was_left_out(
    shelf: Shelf, query: Query, effort: Effort, looked_for: int, read: int, degraded: tuple[str, ...]
) -> None:
    retriever = CountingRetriever(shelf.candidates("tower", "0123456789abcdefghijkl", list(range(1, 22))))
    admit = lambda _: nullcontext(effort)  # noqa: E731 - a function of one word
    searcher = Searcher(HashingEmbedder(), retriever, ReversingReranker(), AnswerConfig(n_candidates=20), admit)
    found = await searcher.search(replace(query, top_k=3), Deadline.after(10))
    best = retriever.candidates[:looked_for]
    assert retriever.limits == [looked_for]
    assert found.candidates == tuple([*reversed(best[:read]), *best[read:]][:3])
    assert found.degraded == degraded
    assert not (await searcher.search(query, Deadline.after(10), rerank=False)).degraded


async def test_who_is_not_let_in_costs_nothing(shelf: Shelf, query: Query) -> None:
    @contextmanager
    def refuse(_: str) -> Iterator[Effort]:
        raise Overloaded("full", retry_after_s=1.0)
        yield "none"

    embedder = HashingEmbedder()
    searcher = Searcher(embedder, CountingRetriever([]), NoReranker(), AnswerConfig(), refuse)
    with pytest.raises(Overloaded):
        await searcher.search(query, Deadline.after(10))
    assert embedder.n_embedded == 0
