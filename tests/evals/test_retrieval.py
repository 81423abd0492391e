"""A judged collection searched as the service searches: what is scored, held against what, and refused when untrue."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from ingest.outcome import Failure
from ingest.outcome import Report as Indexed
from rag.base.errors import ConfigError, Unavailable
from rag.base.ports import Reranker
from rag.evals.collection import Collection
from rag.evals.metrics import ndcg
from rag.evals.retrieval import (
    TENANT,
    Report,
    against_lower_stages,
    compared,
    drafts,
    evaluate,
    latency,
    losses,
    read_report,
)
from rag.index.retriever import BatchedRetriever
from rag.pipeline.config import AnswerConfig
from rag.pipeline.search import Searcher
from rerank.none import NoReranker
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder, ReversingReranker
from tests.indexing import an_indexer

TEXTS = {"cat": "the cat sat", "mat": "a mat on a mat", "both": "the cat sat on a mat", "none": "ed ing é"}
QUERIES = {"q1": "the cat sat", "q2": "a mat", "q3": "ed ing"}
QRELS = {"q1": {"cat": 2, "both": 1}, "q2": {"mat": 1}, "q3": {"none": 1, "cat": 0}}


class BrokenReranker(ReversingReranker):
    async def rerank(self, question, candidates, limit, work):
        raise Unavailable("down")


@pytest.fixture
def collection(tmp_path) -> Collection:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in TEXTS.items()))
    return Collection(name="tiny", corpus=corpus, queries=QUERIES, qrels=QRELS)


async def measured(collection: Collection, reranker: Reranker) -> Report:
    embedder, store = HashingEmbedder(), MemoryStore()
    indexed = await an_indexer(store, embedder).run(drafts(collection), TENANT)
    searcher = Searcher(embedder, BatchedRetriever(store), reranker, AnswerConfig())
    return await evaluate(collection, searcher, indexed, in_flight=2)


async def test_the_run_has_every_configuration_and_json_of_the_promised_shape(collection):
    report = await measured(collection, ReversingReranker())
    run = json.loads(msgspec.json.encode(report))
    for name in ("dense", "bm25", "fused", "reranked"):
        assert run[name].keys() == {"ndcg@10", "recall@10", "recall@100", "mrr@10"}
        assert run["per_query"][name].keys() == QUERIES.keys()
    assert run["intervals"].keys() == {"bm25 - dense", "fused - bm25", "reranked - fused"}
    assert run["intervals"]["reranked - fused"].keys() == {"mean", "low", "high"}
    assert run["timings"]["in_flight"] == 2
    assert run["timings"]["fused"].keys() == run["timings"]["reranked"].keys() == {"mean_s", "p50_s", "p95_s"}
    assert run["versions"].keys() == {"groundwire", "embedder", "reranker"}
    assert (run["queries"], run["documents"]) == (3, 4)


async def test_the_reranked_order_is_the_one_that_the_reranker_gave(collection):
    report = await measured(collection, ReversingReranker())
    assert report.reranked is not None
    assert report.fused.mrr_10 == 1.0, "each query repeats its document"
    assert report.reranked.mrr_10 < 1.0, "turned around, the best is last"
    assert report.reranked.recall_10 == report.fused.recall_10
    ideal = ndcg(["cat", "both"], QRELS["q1"], 10)
    assert ideal == 1.0
    assert report.per_query["fused"]["q2"] == 1.0


async def test_without_a_reranker_there_is_no_such_configuration(collection):
    report = await measured(collection, NoReranker())
    assert "reranked" not in json.loads(msgspec.json.encode(report))
    assert list(report.configurations()) == ["dense", "bm25", "fused"]
    assert list(against_lower_stages(report)) in (["fused - dense"], ["fused - bm25"])


async def test_what_could_not_be_measured_truly_is_refused(collection):
    with pytest.raises(ConfigError, match="degraded"):
        await measured(collection, BrokenReranker())
    searcher = Searcher(HashingEmbedder(), BatchedRetriever(MemoryStore()), NoReranker(), AnswerConfig())
    failed = Indexed(failed=1, failures=[Failure(uri="beir:x", reason="too long")])
    with pytest.raises(ConfigError, match="too long"):
        await evaluate(collection, searcher, failed)


async def test_a_run_is_held_against_an_earlier_one_and_a_loss_of_more_than_a_hundredth_is_named(collection, tmp_path):
    report = await measured(collection, NoReranker())
    file = tmp_path / "run.json"
    file.write_bytes(msgspec.json.encode(report))
    assert read_report(file) == report
    assert losses(compared(report, report)) == []
    better = {query: score + 0.011 for query, score in report.per_query["fused"].items()}
    then = replace(report, per_query=report.per_query | {"fused": better})
    assert losses(compared(report, then)) == ["fused"]
    assert losses(compared(then, report)) == []
    with pytest.raises(ConfigError, match="none of these queries"):
        compared(report, replace(report, per_query={"fused": {"other": 1.0}}))


@pytest.mark.parametrize("text", ["", "{}", '{"dense": 1}', "\xff"])
def test_another_file_is_no_run(tmp_path: Path, text: str):
    file = tmp_path / "other.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"other\.json is no run"):
        read_report(file)


def test_latencies_are_the_mean_the_median_and_nearly_the_worst():
    found = latency([float(n) for n in range(101)])
    assert (found.mean_s, found.p50_s, found.p95_s) == (50.0, 50.0, 95.0)
