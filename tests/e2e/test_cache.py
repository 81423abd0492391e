"""The answer cache from the command line, over processes that come and go."""

import json

import pytest

from tests.e2e.conftest import Workspace

pytestmark = pytest.mark.sockets

TOWER = "# The tower\n\nThe tower was built in 1889 by Gustave Eiffel. It stands in Paris.\n\nIt is 330 metres tall.\n"
QUESTION = "When was the tower built?"


def asked(workspace: Workspace, question: str) -> dict[str, object]:
    recall: dict[str, object] = json.loads(workspace.rag("ask", question, "--json").stdout)["cache"]
    return {name: recall[name] for name in ("status", "tier", "rejected_by")}


def test_answers_outlive_the_process_and_change_with_their_document(workspace: Workspace) -> None:
    workspace.write("tower.md", TOWER)
    workspace.ingest()
    assert asked(workspace, QUESTION)["status"] == "miss"
    assert asked(workspace, QUESTION) == {"status": "hit", "tier": "exact", "rejected_by": None}
    assert asked(workspace, "Could you tell me when the tower was built?")["tier"] == "semantic"
    assert asked(workspace, "When was the tower not built?")["rejected_by"] == "negation"

    told = workspace.rag("cache", "explain", "please, when was the tower built").stdout
    assert "would be served" in told
    assert QUESTION in told
    assert json.loads(workspace.rag("cache", "stats", "--json").stdout)["entries"] >= 1
    assert "MiB" in workspace.rag("cache", "stats").stdout
    assert "none compared yet" in workspace.rag("cache", "report").stdout

    workspace.write("tower.md", TOWER.replace("1889", "1890"))
    workspace.ingest()
    assert "nothing near" in workspace.rag("cache", "explain", QUESTION).stdout, "its text is gone with the document"
    assert asked(workspace, QUESTION)["status"] == "miss"
    assert json.loads(workspace.rag("cache", "clear", "--json").stdout)["n_forgotten"] >= 1
    assert json.loads(workspace.rag("cache", "stats", "--json").stdout)["entries"] == 0
