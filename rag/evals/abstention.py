"""Whether answers are refused where the documents hold none: half of the judged documents are kept from the index."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from msgspec import Struct

from ingest.draft import Draft
from ingest.outcome import Failure
from ingest.pipeline import Indexer, Progress
from rag.base.answers import Answer, Answered
from rag.base.deadline import Deadline
from rag.base.errors import BadDependency, ConfigError
from rag.base.ports import Answers
from rag.base.types import CacheMode, Query
from rag.evals.collection import Collection
from rag.evals.metrics import roc_area
from rag.evals.retrieval import PARALLEL, READER, TENANT, TIMEOUT_S, URI_PREFIX, drafts

REFUSED = "insufficient_evidence"


class AbstentionScores(Struct, frozen=True, kw_only=True):
    """`roc_area` is the chance that an answerable question gets the higher confidence of two, ties counting half.

    A question is answerable while one of its relevant documents is in the index. That is a bound, not the truth: other
    documents may answer a question whose own were withheld.
    """

    answerable: int
    unanswerable: int
    roc_area: float
    refused_answerable: float
    refused_unanswerable: float


def withheld_half(collection: Collection, seed: int) -> frozenset[str]:
    """A random half of the documents that are relevant to a question, the same for the same seed."""
    relevant = {document for grades in collection.qrels.values() for document, grade in grades.items() if grade > 0}
    return frozenset(random.Random(seed).sample(sorted(relevant), len(relevant) // 2))  # noqa: S311 - no secret


async def index_without(
    collection: Collection, withheld: frozenset[str], indexer: Indexer, told: Progress = lambda _: None
) -> None:
    """Indexes the collection but for the withheld documents. Raises ConfigError where one could not be indexed."""
    report = await indexer.run(_rest(collection, withheld), TENANT, told)
    if report.failed:
        raise ConfigError(f"{report.failed} documents could not be indexed, first: {report.failures[0].reason}")


async def score_abstention(
    collection: Collection,
    withheld: frozenset[str],
    ask: Callable[[str], Awaitable[Answer]],
    told: Callable[[], None] = lambda: None,
) -> AbstentionScores:
    """Asks every question, a few at a time. `told` hears of each that is answered.

    Raises ConfigError where the model tells no confidence or all questions are of one sort.
    """
    gate = asyncio.Semaphore(PARALLEL)

    async def one(query: str) -> tuple[bool, float, bool]:
        async with gate:
            answer = await ask(collection.queries[query])
        if answer.confidence is None:
            raise ConfigError(f"the model '{answer.lineage.model}' tells no confidence: only the extractive one does")
        told()
        return _is_answerable(collection, query, withheld), answer.confidence, answer.stop_reason == REFUSED

    results = await asyncio.gather(*map(one, sorted(collection.queries)))
    sure = {sort: [confidence for held, confidence, _ in results if held is sort] for sort in (True, False)}
    if not sure[True] or not sure[False]:
        raise ConfigError(f"'{collection.name}' has too few judged documents to withhold half of them")
    refused = {sort: sum(no for held, _, no in results if held is sort) / len(sure[sort]) for sort in (True, False)}
    return AbstentionScores(
        answerable=len(sure[True]),
        unanswerable=len(sure[False]),
        roc_area=roc_area(sure[True], sure[False]),
        refused_answerable=refused[True],
        refused_unanswerable=refused[False],
    )


async def answer_of(answerer: Answers, question: str, cache: CacheMode = "off") -> Answer:
    """The whole answer to one question of a collection."""
    query = Query(text=question, principal=READER, request_id="eval", cache=cache)
    async with aclosing(answerer.answer(query, Deadline.after(TIMEOUT_S), stream=False)) as events:
        async for event in events:
            if isinstance(event, Answered):
                return event.answer
    raise BadDependency("the answer was cut off before its end")


async def _rest(collection: Collection, withheld: frozenset[str]) -> AsyncGenerator[Draft | Failure, None]:
    async with aclosing(drafts(collection)) as items:
        async for item in items:
            if item.uri.removeprefix(URI_PREFIX) not in withheld:
                yield item


def _is_answerable(collection: Collection, query: str, withheld: frozenset[str]) -> bool:
    return any(grade > 0 and document not in withheld for document, grade in collection.qrels[query].items())
