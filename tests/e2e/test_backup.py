"""A backup of a server that is in use, and the folder that it becomes."""

import json
import random
import stat
import time
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(300)]


def content(workspace: Workspace) -> list[tuple[str, str, int]]:
    return sorted((each["uri"], each["version"], each["n_chunks"]) for each in workspace.listed())


@pytest.fixture
def library(workspace: Workspace) -> Workspace:
    for number in range(6):
        facts = " ".join(f"Fact {n} of list {number} concerns item {n * 7 % 31}." for n in range(30))
        workspace.write(f"list{number}.md", f"# List {number}\n\n{facts}\n")
    assert workspace.ingest()["added"] == 6
    return workspace


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("other"))


def test_taken_from_a_server_that_is_written_to_and_asked_it_becomes_another_server(
    library: Workspace, other: Workspace, tmp_path: Path
) -> None:
    file, done, statuses = tmp_path / "backup.tar", Event(), []
    with library.server() as client:

        def write() -> None:
            for number in count():
                if done.is_set():
                    return
                document = {"uri": f"new:{number % 3}", "text": f"Fact {number} was written meanwhile."}
                statuses.append(client.put("/documents", json=document).status_code)
                statuses.append(client.post("/search", json={"query": "Which fact?"}).status_code)

        writer = Thread(target=write)
        writer.start()
        while len(statuses) < 6:
            time.sleep(0.01)
        taken = library.rag("backup", file, "--json")
        done.set()
        writer.join()
        assert taken.returncode == 0, taken.stderr
        refused = library.rag("restore", file, "--force")
        assert (refused.returncode, "stop it first" in refused.stderr) == (2, True)
    assert set(statuses) <= {200, 201}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(taken.stdout)["bytes"] <= file.stat().st_size
    assert other.rag("restore", file).returncode == 0
    lists = {entry for entry in content(library) if "list" in entry[0]}
    restored = content(other)
    assert lists <= set(restored)
    assert len(restored) == len(lists) + 3
    with other.server() as client:
        found = client.post("/search", json={"query": "Which fact of list 3 concerns item 7?"}).json()
        assert "Fact" in found["results"][0]["text"]
        assert client.put("/documents", json={"uri": "after:1", "text": "The last word."}).is_success


def test_killed_at_random_a_restore_leaves_the_one_or_the_other_whole(
    library: Workspace, other: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    assert library.rag("backup", file).returncode == 0
    assert library.rag("backup", file).returncode == 1, "no file is written over"
    wanted = content(library)
    other.write("own.md", "# Own\n\nThis was here before.\n")
    other.ingest()
    before = content(other)
    assert other.rag("restore", file).returncode == 1
    chance = random.Random(7)
    for _ in range(3):
        process = other.start("restore", file, "--force")
        time.sleep(chance.uniform(0.3, 1.5))
        process.kill()
        process.wait()
        assert content(other) in (before, wanted)
    assert other.rag("restore", file, "--force").returncode == 0
    assert content(other) == wanted
