"""Retrieval on a judged collection, through the service's own search: each leg, their fusion, the reranked order."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
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


class Scores(Struct, frozen=True, kw_only=True):
    """One query, or the mean of many, under one configuration."""

    ndcg_10: float = msgspec.field(name="ndcg@10")
    recall_10: float = msgspec.field(name="recall@10")
    recall_100: float = msgspec.field(name="recall@100")
    mrr_10: float = msgspec.field(name="mrr@10")


class Latency(Struct, frozen=True, kw_only=True):
    """How long one query took."""

    mean_s: float
    p50_s: float
    p95_s: float


class Timings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the run took; queries were asked with `in_flight` of them at a time, and waited for each other."""

    index_s: float
    in_flight: int
    fused: Latency
    reranked: Latency | None = None


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole run, in the shape of `--json`.

    `intervals` holds each configuration against the one before it; it and `per_query` are nDCG@10. Without a reranker
    there is no `reranked`.
    """

    dense: Scores
    bm25: Scores
    fused: Scores
    reranked: Scores | None = None
    collection: str
    queries: int
    documents: int
    chunks: int
    intervals: dict[str, Interval]
    timings: Timings
    versions: dict[str, str]
    per_query: dict[str, dict[str, float]]

    def configurations(self) -> dict[str, Scores]:
        """The scores by configuration, each built on the one before."""
        found = {"dense": self.dense, "bm25": self.bm25, "fused": self.fused}
        return found | {"reranked": self.reranked} if self.reranked else found


def read_report(file: Path) -> Report:
    """An earlier run. Raises ConfigError for anything else."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{file} is no run that `rag eval retrieval --json` wrote: {fault}") from fault


async def drafts(collection: Collection) -> AsyncGenerator[Draft | Failure, None]:
    """The documents of the collection as the indexer takes them; their ids keep equal ones from being deduplicated."""
    for line in collection.documents():
        if line.text.strip() or line.title.strip():
            yield Draft(
                uri=URI_PREFIX + line.id, title=line.title, text=line.text or line.title, metadata={"id": line.id}
            )


async def evaluate(
    collection: Collection,
    searcher: Searcher,
    indexed: Indexed,
    *,
    in_flight: int = PARALLEL,
    told: Callable[[], None] = lambda: None,
) -> Report:
    """The report of a collection that `indexed` says was indexed. `told` hears of every query that is done.

    Raises ConfigError when a document could not be indexed or a search was degraded: the scores would not be true.
    """
    if indexed.failed:
        raise ConfigError(f"{indexed.failed} documents could not be indexed, first: {indexed.failures[0].reason}")
    run = _Run(collection, searcher)
    gate = asyncio.Semaphore(in_flight)

    async def one(query: str) -> None:
        async with gate:
            await run.ask(query)
        told()

    await asyncio.gather(*map(one, sorted(collection.queries)))
    latencies = {name: latency(values) for name, values in run.spent_s.items() if values}
    return Report(
        **{name: _mean(list(scores.values())) for name, scores in run.scores.items()},
        collection=collection.name,
        queries=len(collection.queries),
        documents=indexed.added + indexed.updated + indexed.unchanged + indexed.duplicate,
        chunks=indexed.chunks,
        intervals=intervals_between(run.scores),
        timings=Timings(index_s=indexed.seconds, in_flight=in_flight, **latencies),
        versions=versions_of(searcher),
        per_query={
            name: {query: each.ndcg_10 for query, each in sorted(scores.items())} for name, scores in run.scores.items()
        },
    )


def versions_of(searcher: Searcher) -> dict[str, str]:
    """What was measured: this package and the models with their revisions."""
    return {
        "groundwire": version("groundwire"), "embedder": searcher.embedder.name, "reranker": searcher.reranker.name,
    }  # fmt: skip  # a list of three reads better in one row


class _Run:
    """The searches of one evaluation and what they scored, by configuration and query."""

    def __init__(self, collection: Collection, searcher: Searcher) -> None:
        self._collection = collection
        self._searcher = searcher
        self._reranks = searcher.reranker.name != "none"
        stages = (*STAGES, "reranked") if self._reranks else STAGES
        self.scores: dict[str, dict[str, Scores]] = {stage: {} for stage in stages}
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


def scored(ranking: Sequence[str], grades: Mapping[str, int]) -> Scores:
    """The metrics of one ranking of documents."""
    return Scores(
        ndcg_10=ndcg(ranking, grades, 10),
        recall_10=recall(ranking, grades, 10),
        recall_100=recall(ranking, grades, 100),
        mrr_10=reciprocal_rank(ranking, grades, 10),
    )


def intervals_between(per_query: Mapping[str, Mapping[str, Scores]]) -> dict[str, Interval]:
    """The paired interval of each configuration against the one before."""
    intervals = {}
    for before, after in itertools.pairwise(per_query):
        queries = sorted(per_query[after])
        intervals[f"{after} - {before}"] = paired_interval(
            [per_query[after][query].ndcg_10 for query in queries],
            [per_query[before][query].ndcg_10 for query in queries],
        )
    return intervals


def latency(spent_s: Sequence[float]) -> Latency:
    """The mean, the median and the 95th percentile of some durations."""
    p50_s, p95_s = (float(value) for value in np.percentile(spent_s, [50, 95]))
    return Latency(mean_s=fmean(spent_s), p50_s=p50_s, p95_s=p95_s)


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
    better = "dense" if report.dense.ndcg_10 >= report.bm25.ndcg_10 else "bm25"
    pairs = [("fused", better), *([("reranked", "fused")] if report.reranked else [])]
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


def _mean(scores: Sequence[Scores]) -> Scores:
    return Scores(
        ndcg_10=fmean(each.ndcg_10 for each in scores),
        recall_10=fmean(each.recall_10 for each in scores),
        recall_100=fmean(each.recall_100 for each in scores),
        mrr_10=fmean(each.mrr_10 for each in scores),
    )
