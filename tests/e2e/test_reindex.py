"""An index is built anew beside the old one, and one step leads over."""

import json
import os
import random
import signal
import time
from itertools import count
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(300)]

SMALLER = {"RAG__INGEST__CHUNK_TOKENS": "40"}


def content(workspace: Workspace) -> list[tuple[str, str, str, int, bool]]:
    return sorted(
        (d["uri"], d["title"], d["version"], d["n_chunks"], d["duplicate_of"] is None) for d in workspace.listed()
    )


@pytest.fixture
def library(workspace: Workspace) -> Workspace:
    for number in range(12):
        facts = " ".join(f"Fact {n} of list {number} concerns item {n * 7 % 31}." for n in range(30))
        workspace.write(f"list{number:02}.md", f"# List {number}\n\n{facts}\n")
    workspace.write("twin.md", (workspace.documents / "list00.md").read_text())
    assert workspace.ingest()["added"] == 12
    return workspace


def test_other_settings_are_refused_until_the_index_is_built_anew(library: Workspace) -> None:
    library.environ["RAG__INDEX__BM25__K1"] = "1.5"
    refused = library.rag("search", "item")
    assert refused.returncode == 2
    assert "rag reindex" in refused.stderr
    rebuilt = library.rag("reindex", "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert json.loads(rebuilt.stdout)["state"] == "done"
    assert library.rag("search", "item").returncode == 0


def test_the_index_before_is_kept_and_leads_back(library: Workspace) -> None:
    before = content(library)
    library.environ["RAG__INDEX__BM25__K1"] = "1.5"
    assert library.rag("reindex").returncode == 0
    library.write("later.md", "# Later\n\nThis came after the index was built anew.\n")
    library.ingest()
    del library.environ["RAG__INDEX__BM25__K1"]
    back = json.loads(library.rag("reindex", "--discard", "--json").stdout)
    assert (back["state"], back["documents"], back["chunks"]) == ("done", len(before) + 1, 1), "one was embedded"
    assert set(before) < set(content(library))
    assert len([each for each in (library.data_dir / "index").iterdir() if each.is_dir()]) == 1


def test_a_rebuilt_index_is_what_a_fresh_one_would_be(
    library: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = Workspace(tmp_path_factory.mktemp("fresh"))
    fresh.environ |= SMALLER
    fresh.ingest(library.documents)
    before = content(library)
    library.environ |= SMALLER
    assert library.rag("reindex").returncode == 0
    assert content(library) == content(fresh) != before
    again = library.ingest()
    assert (again["added"], again["updated"], again["chunks"]) == (0, 0, 0)


def test_killed_anywhere_it_leaves_one_index_whole_and_goes_on(library: Workspace) -> None:
    before = content(library)
    library.environ |= SMALLER
    chance = random.Random(7)
    for _ in range(4):
        process = library.start("reindex")
        time.sleep(chance.uniform(0.8, 3.5))
        process.kill()
        process.wait()
        assert [entry[:2] for entry in content(library)] == [entry[:2] for entry in before], "every document is there"
    assert library.rag("reindex").returncode == 0
    assert library.ingest()["chunks"] == 0


def other_model(folder: Path) -> Path:
    """The shipped embedder under another name, which reads every passage with a word in front."""
    shipped = Path(__file__).parents[2] / "rag" / "models" / "all-minilm-l6-v2"
    other = folder / "other"
    other.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (other / name).symlink_to(shipped / name)
    card = json.loads((shipped / "card.json").read_text()) | {"name": "other", "passage_prefix": "zebra "}
    (other / "card.json").write_text(json.dumps(card))
    return other


def test_a_running_server_changes_its_embedder_while_it_answers_and_takes_writes(library: Workspace) -> None:
    other = other_model(library.folder)
    with library.server() as client:
        replies: list[httpx.Response] = []
        ended = Event()

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=30) as asking:
                for number in count():
                    if ended.is_set():
                        return
                    question = f"Which fact of list {number % 12} concerns item {number % 31}?"
                    replies.append(asking.post("/search", json={"query": question}))

        readers = [Thread(target=ask) for _ in range(3)]
        for reader in readers:
            reader.start()
        process = library.start("reindex", "--embedder", other, "--min-overlap", "0.2")
        n_written = 0
        while process.poll() is None:
            document = {"uri": f"new:{n_written % 5}", "text": f"Fact {n_written} was written meanwhile."}
            assert client.put("/documents", json=document).is_success
            n_written += 1
        ended.set()
        for reader in readers:
            reader.join()
        standing = client.get("/admin/reindex").json()
        assert (process.returncode, standing["state"]) == (0, "done"), standing
        assert standing["questions"] > 0
        assert replies
        assert {reply.status_code for reply in replies} == {200}
        found = client.post("/search", json={"query": f"Fact {n_written - 1} was written meanwhile."}).json()
        assert any(f"Fact {n_written - 1} was" in result["text"] for result in found["results"])
        answer = client.post("/ask", json={"question": "Which fact concerns item 7?"}).json()
        assert answer["lineage"]["embedder"].startswith("other@")
        assert client.put("/documents", json={"uri": "after:1", "text": "The last word."}).is_success
    library.environ["RAG__EMBEDDER__MODEL"] = str(other)
    uris = {entry[0] for entry in content(library)}
    assert {"after:1", "new:0"} <= uris
    assert len(uris) == 13 + min(n_written, 5) + 1


def test_killed_while_it_builds_the_server_starts_again_with_the_index_it_had(library: Workspace) -> None:
    before = content(library)
    other = other_model(library.folder)
    with library.server() as client:
        process = library.start("reindex", "--embedder", other, "--rate", "2")
        while client.get("/admin/reindex").json()["copied"] < 1:
            time.sleep(0.05)
        os.kill(client.pid, signal.SIGKILL)  # type: ignore[attr-defined]  # the workspace notes it
        process.wait()
    assert process.returncode == 3
    assert content(library) == before
    done = library.rag("reindex", "--embedder", other, "--json")
    assert json.loads(done.stdout)["state"] == "done"
