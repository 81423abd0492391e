"""An index is built anew beside the old one, and one step leads over."""

import json
import random
import time

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
    assert json.loads(rebuilt.stdout)["adopted"] is True
    assert library.rag("search", "item").returncode == 0
    assert not (library.data_dir / "index.next").exists()


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


def test_a_running_server_keeps_its_folder(library: Workspace) -> None:
    with library.server():
        refused = library.rag("reindex")
    assert refused.returncode == 2
    assert "stop it" in refused.stderr
