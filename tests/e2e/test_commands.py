"""The commands, as a person runs them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import RAG, Workspace

pytestmark = pytest.mark.sockets

TOWER = "# The tower\n\nThe tower was built in 1889 by Gustave Eiffel. It stands in Paris.\n\nIt is 330 metres tall.\n"
SYNC = ("--sync", "--delete-missing")
BRIDGE = "# The bridge\n\nThe bridge was opened in 1932. It crosses Sydney Harbour.\n"


@pytest.fixture
def library(workspace: Workspace) -> Workspace:
    workspace.write("tower.md", TOWER)
    workspace.write("bridge.md", BRIDGE)
    assert workspace.ingest()["added"] == 2
    return workspace


def test_ingest_again_embeds_nothing_and_a_change_is_an_update(library: Workspace) -> None:
    again = library.ingest()
    assert (again["unchanged"], again["added"], again["chunks"]) == (2, 0, 0)
    library.write("tower.md", TOWER.replace("330", "331"))
    library.write("copy.md", BRIDGE)
    changed = library.ingest()
    assert (changed["updated"], changed["unchanged"], changed["duplicate"]) == (1, 1, 1)


def test_a_broken_file_is_reported_and_the_rest_goes_on(workspace: Workspace) -> None:
    workspace.write("tower.md", TOWER)
    workspace.write("broken.pdf", "this is no PDF")
    run = workspace.rag("ingest", workspace.documents, "--json")
    summary = json.loads(run.stdout)
    assert run.returncode == 1
    assert (summary["added"], summary["failed"]) == (1, 1)
    assert summary["failures"][0]["uri"].endswith("broken.pdf")
    assert summary["failures"][0]["reason"]
    assert "Traceback" not in run.stderr
    listed = json.loads(workspace.rag("documents", "failed", "--json").stdout)
    assert [letter["uri"].rpartition("/")[2] for letter in listed] == ["broken.pdf"]
    assert workspace.rag("documents", "retry").returncode == 1
    (workspace.documents / "broken.pdf").unlink()
    assert "no such" in workspace.rag("documents", "retry").stderr.lower()


def test_a_question_is_answered_with_a_citation_that_stands_in_the_document(library: Workspace) -> None:
    run = library.rag("ask", "When was the tower built?", "--json")
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert "1889" in answer["answer"]
    citation = answer["citations"][0]
    assert citation["verified"]
    shown = json.loads(library.rag("documents", "show", citation["document_id"], "--text").stdout)
    assert shown["text"][citation["start"] : citation["stop"]] == citation["quote"]
    people = library.rag("ask", "When was the tower built?")
    assert "1889" in people.stdout
    assert "tower.md" in people.stdout


def test_a_filter_narrows_and_an_unknown_one_is_refused(library: Workspace) -> None:
    found = json.loads(library.rag("search", "built", "--filter", "format=markdown", "--json").stdout)
    assert len(found["results"]) == 2
    assert json.loads(library.rag("search", "built", "--filter", "format=pdf", "--json").stdout)["results"] == []
    refused = library.rag("search", "built", "--filter", "colour=red")
    assert refused.returncode == 1
    assert "colour" in refused.stderr
    assert "format" in refused.stderr, "the known fields are named"


def test_a_deleted_document_is_gone(library: Workspace) -> None:
    documents = {document["uri"].rpartition("/")[2]: document["id"] for document in library.listed()}
    assert library.rag("documents", "delete", documents["bridge.md"]).returncode == 0
    assert [document["uri"].rpartition("/")[2] for document in library.listed()] == ["tower.md"]
    assert library.rag("documents", "delete", documents["bridge.md"]).returncode == 1


def test_settings_are_shown_and_a_fault_ends_with_2(workspace: Workspace) -> None:
    shown = workspace.rag("check-config")
    assert json.loads(shown.stdout)["data_dir"] == str(workspace.data_dir)
    (workspace.folder / "rag.toml").write_text("[server]\nprot = 1\n")
    refused = workspace.rag("check-config")
    assert refused.returncode == 2
    assert "prot" in refused.stderr


def test_an_address_for_others_needs_keys(workspace: Workspace) -> None:
    refused = workspace.rag("serve", "--host", "0.0.0.0", "--port", 0)
    assert refused.returncode == 2
    assert "keys" in refused.stderr


def test_a_keys_file_without_a_key_does_not_open_the_door(workspace: Workspace) -> None:
    (workspace.folder / "keys.json").write_text("[]")
    workspace.environ["RAG__AUTH__KEYS_FILE"] = str(workspace.folder / "keys.json")
    refused = workspace.rag("serve", "--port", 0)
    assert refused.returncode == 2
    assert "holds no key" in refused.stderr


def test_documents_come_from_stdin_as_json_lines(workspace: Workspace) -> None:
    lines = '{"uri": "note:1", "title": "One", "text": "Cats purr."}\n{"text": 5}\n'
    run = workspace.rag("ingest", "-", "--json", stdin=lines)
    summary = json.loads(run.stdout)
    assert (summary["added"], summary["failed"]) == (1, 1)
    assert [document["title"] for document in workspace.listed()] == ["One"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "x", "--filter", "format"),
        ("ingest", "x.md", "--acl", "evryone"),
        ("ingest", "x.md", "--delete-missing"),
        ("ingest", "-", "--sync", "--watch"),
        ("documents", "delete"),
        ("documents", "delete", "x", "--everything"),
        ("documents", "show", ".."),
        ("documents", "delete", ""),
        ("keys", "create", "--subject", " "),
        ("keys", "create", "--subject", "ann", "--file", "nowhere/keys.json"),
    ],
)
def test_wrong_usage_is_told_and_ends_with_2(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    run = workspace.rag(*arguments)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_an_id_leads_to_documents_only(workspace: Workspace) -> None:
    run = workspace.rag("documents", "show", "../livez")
    assert run.returncode == 1
    assert "alive" not in run.stdout


def test_a_document_cannot_drive_the_terminal(workspace: Workspace) -> None:
    lines = json.dumps({"uri": "note:1", "title": "One\nTwo\x1b]0;x\x07", "text": "Cats \x1b[2J purr."})
    workspace.rag("ingest", "-", stdin=lines)
    listed = workspace.rag("documents", "list").stdout
    shown = [listed, *(workspace.rag(command, "What do cats do?").stdout for command in ("ask", "search"))]
    assert not any("\x1b" in text or "\x07" in text for text in shown)
    assert len(listed.splitlines()) == 1


def test_a_failure_is_one_line_in_a_pipe(workspace: Workspace) -> None:
    workspace.write("a" * 60 + " " + "b" * 60 + ".pdf", "this is no PDF")
    run = workspace.rag("ingest", workspace.documents)
    assert [line[:6] for line in run.stderr.splitlines() if line.strip()] == ["failed"]


def test_a_folder_and_the_index_stay_in_step(workspace: Workspace) -> None:
    for at in range(3):
        file = workspace.write(f"{at}.md", f"# Note {at}\n\nIt was written in 19{at}0.\n")
        os.utime(file, (1e9, 1e9))
    assert workspace.ingest(workspace.documents)["added"] == 3
    (workspace.documents / "1.md").unlink()
    workspace.write("3.md", "# Note 3\n")
    shown = json.loads(workspace.rag("ingest", workspace.documents, *SYNC, "--dry-run", "--json").stdout)
    assert ([uri.rpartition("/")[2] for uri in shown["read"]][-1:], len(shown["delete"])) == (["3.md"], 1)
    summary = workspace.ingest(workspace.documents, *SYNC)
    assert (summary["added"], summary["unchanged"], summary["deleted"]) == (1, 2, 1)
    with workspace.server():
        (workspace.documents / "3.md").unlink()
        summary = workspace.ingest(workspace.documents, *SYNC)
        assert (summary["unchanged"], summary["deleted"]) == (2, 1)
        assert workspace.rag("documents", "delete", "--source", workspace.documents / "0.md").stdout.startswith("1 del")
    (workspace.documents / "0.md").unlink()
    (workspace.documents / "2.md").unlink()
    emptied = workspace.rag("ingest", workspace.documents, *SYNC)
    assert (emptied.returncode, len(workspace.listed())) == (1, 1)
    assert "nothing was deleted" in emptied.stderr
    deleted = workspace.rag("documents", "delete", "--everything")
    assert (deleted.stdout, workspace.listed()) == ("1 deleted, 0 left\n", [])


def test_nothing_to_read_is_told_and_ends_with_1(workspace: Workspace) -> None:
    for arguments in ((workspace.documents,), ("-",)):
        run = workspace.rag("ingest", *arguments, stdin="")
        assert run.returncode == 1
        assert "there is no document in" in run.stderr


def test_a_url_to_this_machine_is_refused_and_a_file_is_put_over_http(workspace: Workspace) -> None:
    refused = workspace.rag("ingest", "http://127.0.0.1:9/a", "--json")
    assert refused.returncode == 1
    assert "not public" in json.loads(refused.stdout)["failures"][0]["reason"]
    with workspace.server() as client:
        form = {
            "file": ("bridge.html", f"<html><title>Bridge</title><body>{BRIDGE}</body></html>".encode(), "text/html")
        }
        put = client.put("/documents", params={"wait": "searchable"}, files=form, data={"uri": "wiki:bridge"})
        assert put.json()["state"] == "searchable"
        found = client.post("/search", json={"query": "When was the bridge opened?"}).json()["results"]
    assert found[0]["uri"] == "wiki:bridge"
    assert "1932" in found[0]["text"]


def test_a_full_disk_behind_the_output_is_one_line_and_not_a_traceback(workspace: Workspace) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as stream:
        run = subprocess.run(
            [*RAG, "version"], env=workspace.environ, stdout=stream, stderr=subprocess.PIPE, check=False
        )
    assert run.returncode == 1
    assert run.stderr.decode().splitlines() == ["error: the output cannot be written: no space is left there"]


def test_a_file_of_questions_fills_the_cache(library: Workspace) -> None:
    questions = library.write("questions.txt", "When was the tower built?\nWhen was the bridge opened?\n")
    made = library.rag("cache", "warm", questions, "--json")
    again = library.rag("cache", "warm", questions)
    assert (made.returncode, json.loads(made.stdout)) == (0, {"hit": 0, "miss": 2, "off": 0, "failed": 0})
    assert again.stdout == "2 questions: 2 were kept already, 0 were made, 0 failed\n"
    assert json.loads(library.rag("ask", "When was the tower built?", "--json").stdout)["cache"]["status"] == "hit"
