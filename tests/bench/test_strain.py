"""`rag bench overload` and `beside`: the steps, and what is made of their figures."""

import asyncio
import json
import os

import msgspec
import pytest

from rag.base.errors import Unavailable
from rag.bench.beside import ALONE, BESIDE, loads, slower
from rag.bench.load.figures import Percentiles
from rag.bench.load.plan import Open
from rag.bench.overload import Timing, findings, overload
from rag.bench.process import Server
from rag.bench.search import search_requests
from tests.bench.test_compare import a_run

SERVER = Server(name="s", port=1, pid=os.getpid())


def changed(run, **figures):
    lane = msgspec.structs.replace(run.figures, **figures)
    return msgspec.structs.replace(run, result=msgspec.structs.replace(run.result, lanes=(lane,)))


def ms(p99: float) -> Percentiles:
    return Percentiles(p50=p99 / 4, p90=p99 / 2, p95=p99 / 2, p99=p99, longest=p99)


@pytest.fixture
def sound():
    before = changed(a_run("s", 80), latency=ms(50))
    hard = changed(a_run("s", 95), latency=ms(90), n_refused=100, refused=ms(5))
    return before, hard, before


def test_a_server_that_bears_up_passes_every_claim(sound):
    assert [finding.holds for finding in findings(100.0, *sound)] == [True] * 6


@pytest.mark.parametrize(
    ("broken", "claim"),
    [
        ({"per_s": 80.0}, 0),
        ({"latency": ms(101)}, 1),
        ({"refused": ms(21)}, 2),
        ({"n_refused_without_wait": 1}, 3),
    ],
)
def test_each_claim_fails_by_its_own_figure(sound, broken, claim):
    before, hard, after = sound
    found = findings(100.0, before, changed(hard, **broken), after)
    assert [at for at, finding in enumerate(found) if not finding.holds] == [claim]


def test_memory_and_recovery_have_claims_too(sound):
    before, hard, _ = sound
    found = findings(100.0, before, msgspec.structs.replace(hard, rss_mib=110.0), changed(before, latency=ms(80)))
    assert [at for at, finding in enumerate(found) if not finding.holds] == [4, 5]


@pytest.fixture
def collection(tmp_path):
    entries = [{"_id": f"d{n}", "title": "t", "text": f"Fact {n}. Another fact {n}."} for n in range(5)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    return tmp_path


def test_alone_and_beside_send_the_same_questions_and_one_has_a_neighbour(collection):
    alone, beside = loads("tenant", collection, ["a?", "b?", "c?"], 100.0, 5.0)
    assert (alone.label, beside.label) == (ALONE, BESIDE)
    (only,), (same, other) = alone.plan(SERVER, 1).lanes, beside.plan(SERVER, 1).lanes
    assert only == same
    assert (same.arrivals, other.arrivals) == (Open(per_s=5.0), Open(per_s=95.0))
    assert same.requests[0].headers != other.requests[0].headers


def test_no_document_is_put_twice(collection):
    plans = [loads("ingestion", collection, ["a?"], 10.0, 5.0)[1].plan(SERVER, run) for run in range(2)]
    bodies = [request.body for plan in plans for request in plan.lanes[1].requests]
    assert len({msgspec.json.decode(body)["uri"] for body in bodies}) == len(bodies)


def test_how_much_slower_is_a_ratio_of_p95():
    runs = [a_run("s", per_s, at) for at, per_s in enumerate((100, 100, 50, 50))]
    labelled = [msgspec.structs.replace(run, load=ALONE if at < 2 else BESIDE) for at, run in enumerate(runs)]
    assert slower(labelled) == (2.0, 2.0, 2.0)
    with pytest.raises(Unavailable):
        slower(labelled[:2])


def test_a_server_that_answers_nothing_has_no_capacity():
    timing = Timing(clients=1, capacity_s=0.1, easy_s=0.1, hard_s=0.1)
    requests = search_requests(["a?"], rerank=False)

    async def nothing(_server, load, _repeat=0):
        return changed(a_run("s", 1), per_s=0.0)

    with pytest.raises(Unavailable, match="no capacity"):
        asyncio.run(overload(SERVER, requests, timing, lambda _: None, measure=nothing))
