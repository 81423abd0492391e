"""Two processes, killed processes, and what survives them."""

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(300)]


def content(workspace: Workspace) -> list[tuple[str, str, int, str | None]]:
    """What the store holds, apart from times."""
    return sorted((d["uri"], d["version"], d["n_chunks"], d["duplicate_of"]) for d in workspace.listed())


def texts(n: int) -> dict[str, str]:
    sentences = [
        f"Fact {number} concerns item {number * 7 % 101} of the {number % 13}th list." for number in range(400)
    ]
    return {f"doc{i:02}.md": f"# Document {i}\n\n" + " ".join(sentences[i * 5 : i * 5 + 90]) for i in range(n)}


def test_a_second_process_sends_its_documents_to_the_running_server(workspace: Workspace) -> None:
    file = workspace.write("tower.md", "The tower was built in 1889.")
    with workspace.server() as client:
        assert workspace.ingest()["added"] == 1
        assert workspace.ingest()["unchanged"] == 1
        answer = client.post("/ask", json={"question": "When was the tower built?"}).json()
        assert "1889" in answer["answer"]
        assert answer["citations"][0]["uri"] == file.as_uri()
        assert workspace.rag("ask", "When was the tower built?").stdout.count("1889") >= 1
    assert len(workspace.listed()) == 1, "the folder opens again when the server has ended"


def test_a_second_server_is_refused_and_the_first_one_is_still_found(workspace: Workspace) -> None:
    workspace.write("tower.md", "The tower was built in 1889.")
    with workspace.server():
        refused = workspace.rag("serve", "--port", 0)
        assert (refused.returncode, "in use" in refused.stderr) == (2, True)
        assert workspace.ingest()["added"] == 1
        assert len(workspace.listed()) == 1


def test_keys_keep_others_out_and_this_user_in(workspace: Workspace) -> None:
    token = workspace.rag("keys", "create", "--subject", "ann", "--file", workspace.folder / "keys.json").stdout.strip()
    workspace.write("tower.md", "The tower was built in 1889.")
    with workspace.server(RAG__AUTH__KEYS_FILE=str(workspace.folder / "keys.json")) as client:
        assert client.post("/ask", json={"question": "When?"}).status_code == 401
        assert workspace.ingest()["added"] == 1, "who may read the data folder needs no key"
        reply = client.post("/search", json={"query": "tower"}, headers={"authorization": f"Bearer {token}"})
        assert len(reply.json()["results"]) == 1
        refused = client.put("/documents", json={"uri": "x:1", "text": "no"}, headers={"x-api-key": token})
        assert refused.status_code == 403


def test_an_ingest_killed_anywhere_and_run_again_ends_like_an_undisturbed_one(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, text in {**texts(24), "twin.md": texts(1)["doc00.md"]}.items():
        workspace.write(name, text)
    undisturbed = Workspace(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.ingest(workspace.documents)
    chance = random.Random(20261123)
    for _ in range(4):
        process = workspace.start("ingest", workspace.documents)
        time.sleep(chance.uniform(0.5, 3.0))
        process.kill()
        process.wait()
    workspace.ingest()
    assert content(workspace) == content(undisturbed)
    again = workspace.ingest()
    assert (again["added"], again["updated"], again["chunks"]) == (0, 0, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_ingest_says_so_and_the_next_one_goes_on(
    workspace: Workspace, number: signal.Signals, code: int
) -> None:
    for name, text in texts(24).items():
        workspace.write(name, text)
    process = workspace.start("ingest", workspace.documents)
    while not (workspace.data_dir / "index" / "shard").exists():
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(30) == code
    assert workspace.ingest()["failed"] == 0
    assert len(workspace.listed()) == 24


def test_a_killed_server_has_lost_no_acknowledged_document(workspace: Workspace) -> None:
    acknowledged: list[str] = []

    def push(client: httpx.Client, number: int) -> None:
        body = {"uri": f"note:{number}", "text": f"Note number {number} says that the answer is {number * 3}."}
        try:
            reply = client.put("/documents", json=body)
        except httpx.HTTPError:
            return
        if reply.is_success:
            acknowledged.append(body["uri"])

    with workspace.server() as client, ThreadPoolExecutor(4) as pool:
        pushed = [pool.submit(push, client, number) for number in range(200)]
        while len(acknowledged) < 40:
            time.sleep(0.01)
        os.kill(client.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        for future in pushed:
            future.result()
    assert 40 <= len(acknowledged) < 200
    kept = {document["uri"] for document in workspace.listed()}
    assert set(acknowledged) <= kept
