"""`rag eval abstention`, as a person runs it."""

import json

import pytest

from tests.e2e.conftest import Workspace

pytestmark = pytest.mark.sockets

FACTS = {
    "tower": ("When was the tower built?", "The tower was built in 1889 by an engineer."),
    "bridge": ("How long is the harbour bridge?", "The harbour bridge is 1,149 metres long."),
    "bread": ("What is bread made of?", "Bread is made of flour, water and salt."),
    "comet": ("Who discovered the comet?", "The comet was discovered by Caroline Herschel."),
}


def test_questions_whose_document_is_withheld_are_told_from_the_others(workspace: Workspace) -> None:
    for name, lines in {
        "corpus.jsonl": [{"_id": key, "title": key.title(), "text": text} for key, (_, text) in FACTS.items()],
        "queries.jsonl": [{"_id": key, "text": question} for key, (question, _) in FACTS.items()],
    }.items():
        workspace.write(name, "".join(json.dumps(line) + "\n" for line in lines))
    workspace.write("qrels.test.tsv", "query-id\tcorpus-id\tscore\n" + "".join(f"{key}\t{key}\t1\n" for key in FACTS))
    run = workspace.rag("eval", "abstention", workspace.documents, "--json")
    assert run.returncode == 0, run.stderr
    scores = json.loads(run.stdout)
    assert (scores["answerable"], scores["unanswerable"], scores["roc_area"]) == (2, 2, 1.0)
    assert (scores["refused_answerable"], scores["refused_unanswerable"]) == (0.0, 1.0)
    assert not workspace.data_dir.exists(), "the index of the measurement is a passing one"
