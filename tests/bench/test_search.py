"""`rag bench search` for real, on a collection of a few documents."""

import asyncio
import json
import subprocess

import pytest

from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.types import Principal, Query
from rag.bench.corpus import Entry, filler
from rag.bench.peers.haystack import haystack
from rag.bench.peers.unbatched import onnx_models, open_unbatched
from rag.bench.search import Setup, prepare, searching
from rag.compose import open_services
from rag.govern.keys import KeyRing
from rag.settings import load_settings
from tests.e2e.conftest import RAG, ROOT

TOPICS = ["tower", "bridge", "battery", "refund", "leave", "river", "engine", "harbour"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    entries = [
        {"_id": f"d{n}", "title": topic, "text": f"The {topic} has number {n}. It was made in {1900 + n}."}
        for n, topic in enumerate(TOPICS)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    queries = [{"_id": f"q{n}", "text": f"Which number has the {topic}?"} for n, topic in enumerate(TOPICS)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def index(collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    asyncio.run(prepare(collection, 3, folder))
    return folder


@pytest.mark.sockets
@pytest.mark.timeout(300)
def test_the_service_is_measured_beside_a_peer_that_finds_the_same(collection, index, tmp_path):
    drawn = tmp_path / "drawn.svg"
    report = measured("search", collection, index, tmp_path, "--rerank", "--peer", "threads", "--svg", drawn)
    assert [(row["server"], row["load"], row["n_void"]) for row in report["rows"]] == [
        ("groundwire", "2", 0),
        ("threads", "2", 0),
    ]
    assert all(row["per_s"] > 0 and row["cpu_ms"] > 0 for row in report["rows"])
    assert {ratio["what"] for ratio in report["ratios"]} == {"per_s", "p50", "p95"}
    assert "<svg" in drawn.read_text(encoding="utf-8")
    ours, theirs = asyncio.run(both(index))
    assert ours == theirs
    assert len(ours) == 5


@pytest.mark.sockets
@pytest.mark.timeout(300)
def test_ask_is_measured_beside_the_service_with_nothing_to_compute(collection, index, tmp_path):
    report = measured("ask", collection, index, tmp_path, "--peer", "stubbed", "--stream")
    assert [(row["server"], row["n_void"]) for row in report["rows"]] == [("groundwire", 0), ("stubbed", 0)]
    assert all(0 < row["first_p50"] <= row["p50"] for row in report["rows"])


def measured(what, collection, index, folder, *options):
    """The report of `rag bench`, of one short run."""
    told = folder / "told.json"
    pace = ["--clients", "2", "--seconds", "0.5", "--warm-up", "0.1", "--repeats", "1", "--json", told]
    command = [*RAG, "bench", what, collection, "--index", index, *pace, *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(told.read_bytes())


async def both(index):
    """What the service and the peer find on one index."""
    settings = load_settings(None, {"RAG__DATA_DIR": str(index), "RAG__RERANKER__KIND": "onnx"})
    query = Query(text="Which number has the engine?", principal=ANYONE, request_id="r")
    found = []
    for opened in (open_services(settings, KeyRing()), open_unbatched(settings, onnx_models(settings))):
        async with opened as services:
            result = await services.searcher.search(query, Deadline.after(60))
            found.append([candidate.passage.chunk.id for candidate in result.candidates])
    return found


ANYONE = Principal(subject="local", tenant="default")


def test_questions_are_asked_in_each_servers_words(collection, tmp_path):
    asking = searching(Setup(collection=collection, index=tmp_path, rerank=False))
    assert len(asking(Named("groundwire")).requests) == len(TOPICS)
    assert '"rerank":false' in asking(Named("groundwire")).requests[0].body
    assert asking(Named("haystack")).requests[0].path == "/search/run"


class Named:
    def __init__(self, name):
        self.name = name


def test_filler_is_the_same_again_and_of_the_corpus_words():
    entries = [Entry("a", "t", "One fact. Another fact."), Entry("b", "t", "A third.")]
    made = list(filler(entries, 20))
    assert made == list(filler(entries, 20))
    assert {word for entry in made for word in entry.text.split()} <= {"One", "fact.", "Another", "A", "third."}


async def test_a_peer_says_what_it_needs(collection):
    with pytest.raises(ConfigError, match="--embedder"):
        async with haystack(collection, ""):
            pass
