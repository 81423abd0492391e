"""Retrieval on a judged collection, through the service's own search: each leg, their fusion, the reranked order."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from statistics import fmean

import msgspec
from msgspec import Struct

from ingest.draft import Draft
from ingest.outcome import Failure
from ingest.outcome import Report as Indexed
from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.types import Candidate, Origin, Principal, Query
from rag.evals.collection import Collection
from rag.evals.metrics import Interval, ndcg, paired_interval, recall, reciprocal_rank
from rag.pipeline.search import Searcher

DEPTH = 200
"""Passages per query: both legs of 100 in full, so that each leg's own order can be read off the candidates."""
PARALLEL = 8
TIMEOUT_S = 120.0
GATE_LOSS = 0.01

STAGES: tuple[Origin, ...] = ("dense", "bm25", "fused")
TENANT = "default"
READER = Principal(subject="eval", tenant=TENANT)
URI_PREFIX = "beir:"
"""Documents of a collection are indexed under this prefix and their id."""


class QueryScores(Struct, frozen=True, kw_only=True):
    """One query under one configuration."""

    ndcg_10: float = msgspec.field(name="ndcg@10")
    recall_10: float = msgspec.field(name="recall@10")
    recall_100: float = msgspec.field(name="recall@100")
    mrr_10: float = msgspec.field(name="mrr@10")


class Report(Struct, frozen=True, kw_only=True):
    """A whole run. `intervals` holds each configuration against the one before it; it and `per_query` are nDCG@10."""

    collection: str
    queries: int
    documents: int
    chunks: int
    scores: dict[str, QueryScores]
    intervals: dict[str, Interval]
    seconds_per_query: dict[str, float]
    seconds_to_index: float
    lineage: dict[str, str]
    per_query: dict[str, dict[str, float]]


async def drafts(collection: Collection) -> AsyncGenerator[Draft | Failure, None]:
    """The documents of the collection as the indexer takes them; their ids keep equal ones from being deduplicated."""
    for line in collection.documents():
        if line.text.strip() or line.title.strip():
            yield Draft(
                uri=URI_PREFIX + line.id, title=line.title, text=line.text or line.title, metadata={"id": line.id}
            )


async def evaluate(
    collection: Collection, searcher: Searcher, indexed: Indexed, told: Callable[[], None] = lambda: None
) -> Report:
    """The report of a collection that `indexed` says was indexed. `told` hears of every query that is done.

    Raises ConfigError when a document could not be indexed or a search was degraded: the scores would not be true.
    """
    if indexed.failed:
        raise ConfigError(f"{indexed.failed} documents could not be indexed, first: {indexed.failures[0].reason}")
    run = _Run(collection, searcher)
    gate = asyncio.Semaphore(PARALLEL)

    async def one(query: str) -> None:
        async with gate:
            await run.ask(query)
        told()

    await asyncio.gather(*map(one, sorted(collection.queries)))
    means, intervals = summarised(run.scores)
    return Report(
        collection=collection.name,
        queries=len(collection.queries),
        documents=indexed.added + indexed.updated + indexed.unchanged + indexed.duplicate,
        chunks=indexed.chunks,
        scores=means,
        intervals=intervals,
        seconds_per_query={name: fmean(values) for name, values in run.spent_s.items() if values},
        seconds_to_index=indexed.seconds,
        lineage={"embedder": searcher.embedder.name, "reranker": searcher.reranker.name},
        per_query={
            name: {query: each.ndcg_10 for query, each in sorted(scores.items())} for name, scores in run.scores.items()
        },
    )


class _Run:
    """The searches of one evaluation and what they scored, by configuration and query."""

    def __init__(self, collection: Collection, searcher: Searcher) -> None:
        self._collection = collection
        self._searcher = searcher
        self._reranks = searcher.reranker.name != "none"
        stages = (*STAGES, "reranked") if self._reranks else STAGES
        self.scores: dict[str, dict[str, QueryScores]] = {stage: {} for stage in stages}
        self.spent_s: dict[str, list[float]] = {"fused": [], "reranked": []}

    async def ask(self, query: str) -> None:
        """Searches for one query without and with reranking."""
        grades = self._collection.qrels[query]
        fused = await self._search(query, rerank=False)
        for stage in STAGES:
            self.scores[stage][query] = scored(documents_by(fused, stage), grades)
        if self._reranks:
            reranked = await self._search(query, rerank=True)
            self.scores["reranked"][query] = scored(_distinct(reranked), grades)

    async def _search(self, query: str, *, rerank: bool) -> Sequence[Candidate]:
        asked = Query(text=self._collection.queries[query], principal=READER, request_id="eval", top_k=DEPTH)
        started_s = time.monotonic()
        found = await self._searcher.search(asked, Deadline.after(TIMEOUT_S), rerank=rerank)
        self.spent_s["reranked" if rerank else "fused"].append(time.monotonic() - started_s)
        if found.degraded:
            raise ConfigError(f"a search was degraded ({', '.join(found.degraded)}): the scores would not be true")
        return found.candidates


def documents_by(candidates: Sequence[Candidate], origin: Origin) -> list[str]:
    """The documents in the order of one leg, each at its best passage."""
    placed = [(leg.rank, candidate) for candidate in candidates for leg in candidate.legs if leg.origin == origin]
    return _distinct([candidate for _, candidate in sorted(placed, key=lambda place: place[0])])


def scored(ranking: Sequence[str], grades: Mapping[str, int]) -> QueryScores:
    """The metrics of one ranking of documents."""
    return QueryScores(
        ndcg_10=ndcg(ranking, grades, 10),
        recall_10=recall(ranking, grades, 10),
        recall_100=recall(ranking, grades, 100),
        mrr_10=reciprocal_rank(ranking, grades, 10),
    )


def summarised(
    per_query: Mapping[str, Mapping[str, QueryScores]],
) -> tuple[dict[str, QueryScores], dict[str, Interval]]:
    """Means by configuration, and the paired interval of each against the one before."""
    means = {name: _mean(list(scores.values())) for name, scores in per_query.items()}
    names = list(per_query)
    intervals = {}
    for before, after in itertools.pairwise(names):
        queries = sorted(per_query[after])
        intervals[f"{after} - {before}"] = paired_interval(
            [per_query[after][query].ndcg_10 for query in queries],
            [per_query[before][query].ndcg_10 for query in queries],
        )
    return means, intervals


def compared(now: Report, then: Report) -> dict[str, Interval]:
    """How nDCG@10 changed by configuration, over the queries that both runs have. Raises ConfigError without any."""
    changes = {}
    for name in now.per_query.keys() & then.per_query.keys():
        queries = sorted(now.per_query[name].keys() & then.per_query[name].keys())
        if not queries:
            raise ConfigError(f"the run to compare with, over '{then.collection}', has none of these queries")
        changes[name] = paired_interval(
            [now.per_query[name][query] for query in queries], [then.per_query[name][query] for query in queries]
        )
    return changes


def against_lower_stages(report: Report) -> dict[str, Interval]:
    """The fused order against the better leg, and the reranked one against the fused."""
    better = max(("dense", "bm25"), key=lambda leg: report.scores[leg].ndcg_10)
    pairs = [("fused", better), *([("reranked", "fused")] if "reranked" in report.scores else [])]
    changes = {}
    for after, before in pairs:
        queries = sorted(report.per_query[after])
        changes[f"{after} - {before}"] = paired_interval(
            [report.per_query[after][query] for query in queries],
            [report.per_query[before][query] for query in queries],
        )
    return changes


def losses(changes: Mapping[str, Interval]) -> list[str]:
    """The configurations that lost more than the gate allows."""
    return sorted(name for name, change in changes.items() if change.mean < -GATE_LOSS)


def _distinct(candidates: Sequence[Candidate]) -> list[str]:
    return list(dict.fromkeys(candidate.passage.uri.removeprefix(URI_PREFIX) for candidate in candidates))


def _mean(scores: Sequence[QueryScores]) -> QueryScores:
    return QueryScores(
        ndcg_10=fmean(each.ndcg_10 for each in scores),
        recall_10=fmean(each.recall_10 for each in scores),
        recall_100=fmean(each.recall_100 for each in scores),
        mrr_10=fmean(each.mrr_10 for each in scores),
    )
