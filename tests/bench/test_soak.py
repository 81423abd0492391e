"""`rag bench soak`: what is sent, and how far memory went."""

import json
import os

import msgspec
import pytest

from rag.bench.process import Server
from rag.bench.soak import WARM_UP, drift, loads
from tests.bench.test_compare import a_run

SERVER = Server(name="s", port=1, pid=os.getpid())


def test_the_steps_fill_the_time_and_change_the_same_documents_again_and_again(tmp_path):
    entries = [{"_id": str(n), "title": "", "text": " ".join(f"word{n * k}" for k in range(9))} for n in range(2_000)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "How tall?"}) + "\n")
    plans = [load.plan(SERVER, 0) for load in loads(tmp_path, 600.0, 5)]
    assert [plan.seconds for plan in plans] == [600 * WARM_UP, *[100.0] * 5]
    asked, streamed, searched, changed = plans[1].lanes
    assert (asked.requests[0].path, searched.requests[0].path) == ("/ask", "/search")
    assert [json.loads(lane.requests[0].body)["stream"] for lane in (asked, streamed)] == [False, True]
    bodies = [json.loads(request.body) for request in changed.requests]
    texts: dict[str, set[str]] = {}
    for body in bodies:
        texts.setdefault(body["uri"], set()).add(body["text"])
    assert len(texts) == 200
    assert min(map(len, texts.values())) >= 5


@pytest.mark.parametrize(("after", "holds"), [([101.0, 104.9], True), ([101.0, 105.1], False), ([94.0, 100.0], False)])
def test_memory_is_held_against_the_end_of_the_warm_up(after, holds):
    runs = [msgspec.structs.replace(a_run("s", 10), rss_mib=mib) for mib in (100.0, *after)]
    found = drift(runs)
    assert found.holds is holds
    assert f"100 MiB, then {min(after):.0f} to {max(after):.0f}" in found.figure
