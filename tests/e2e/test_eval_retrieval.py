"""`rag eval retrieval`, as CI runs it: a run is kept, and a later one that is worse ends with 1."""

import json

import pytest

from tests.e2e.conftest import Workspace

pytestmark = pytest.mark.sockets

FACTS = {
    "tower": ("When was the tower built?", "The tower was built in 1889 by an engineer."),
    "bridge": ("How long is the harbour bridge?", "The harbour bridge is 1,149 metres long."),
    "bread": ("What is bread made of?", "Bread is made of flour, water and salt."),
}


def test_a_worse_run_does_not_pass_the_gate(workspace: Workspace) -> None:
    lines = [{"_id": key, "title": key.title(), "text": text} for key, (_, text) in FACTS.items()]
    queries = [{"_id": key, "text": question} for key, (question, _) in FACTS.items()]
    for name, rows in {"corpus.jsonl": lines, "queries.jsonl": queries}.items():
        workspace.write(name, "".join(json.dumps(row) + "\n" for row in rows))
    workspace.write("qrels.test.tsv", "query-id\tcorpus-id\tscore\n" + "".join(f"{key}\t{key}\t1\n" for key in FACTS))
    run = workspace.rag("eval", "retrieval", workspace.documents, "--json", "--gate")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["fused"]["ndcg@10"] == 1.0
    assert "reranked" not in found
    found["per_query"]["fused"] = dict.fromkeys(FACTS, 1.1)
    then = workspace.write("../then.json", json.dumps(found))
    run = workspace.rag("eval", "retrieval", workspace.documents, "--compare", then, "--gate", "--in-flight", "1")
    assert run.returncode == 1, run.stderr
    assert "nDCG@10 lost: fused" in run.stderr
    assert "fused: -0.100 nDCG@10" in run.stdout
    assert not workspace.data_dir.exists(), "the index of the measurement is a passing one"
