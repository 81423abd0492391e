"""The stack of compose.yaml as processes of this machine: some die, nobody misses them, nothing is lost or doubled.

Commands and environments are those that compose.yaml names, with addresses and secrets of this machine put in. The
index is the server that QDRANT_URL names, else a stand-in (`tests/qdrant_server.py`), which speaks no gRPC.

    STACK_DOCUMENTS=5000 pytest tests/e2e/test_stack.py -s
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Event

import httpx
import pytest
import yaml

from tests.e2e.conftest import RAG, ROOT
from tests.servers import free_port, postgres_server, qdrant_server, redis_server

N_DOCUMENTS = int(os.environ.get("STACK_DOCUMENTS", "80"))
pytestmark = [pytest.mark.sockets, pytest.mark.timeout(600 + 2 * N_DOCUMENTS)]
WITHIN_S = 180.0 + N_DOCUMENTS
"""For everything to become searchable: far more than it takes, as nobody times it here."""
N_CLIENTS = 4
N_FILES = 12
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
Process = "subprocess.Popen[bytes]"


class Stack:
    """Services by name, each with processes that can be killed and started again."""

    def __init__(self, folder: Path, places: dict[str, str]) -> None:
        self._folder = folder
        self._places = places
        self._plain = {name: value for name, value in os.environ.items() if not name.startswith("RAG")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self.token = ""

    def start(self, name: str) -> None:
        """One process of the service before the number in its name: `api1`."""
        service = SERVICES[name.rstrip("0123456789")]
        self._ports.setdefault(name, free_port())
        environ = {variable: self._here(value) for variable, value in service["environment"].items()}
        own = {
            "RAG__DATA_DIR": str(self._folder / name),
            "RAG__SERVER__HOST": "127.0.0.1",
            "RAG__SERVER__PORT": str(self._ports[name]),
            "RAG__QUEUE__LEASE_S": "5",
            "RAG__INDEX__PREFER_GRPC": "true" if "QDRANT_URL" in os.environ else "false",
            "PYTHONPATH": str(ROOT),
        }
        log = (self._folder / f"{name}.log").open("ab")
        command = [*RAG, *service["command"]]
        self._running[name] = subprocess.Popen(
            command, env=self._plain | environ | own, cwd=self._folder, stdout=log, stderr=log
        )
        log.close()

    def ingest(self, name: str, folder: Path) -> Process:
        """`rag ingest` beside a server, to which it sends what it reads."""
        environ = self._plain | {"RAG__DATA_DIR": str(self._folder / name), "PYTHONPATH": str(ROOT)}
        command = [*RAG, "ingest", str(folder), "--json"]
        return subprocess.Popen(command, env=environ, cwd=self._folder, stdout=subprocess.PIPE)

    def kill(self, name: str) -> None:
        """As if its machine had lost its power."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def client(self, name: str) -> httpx.Client:
        """A client of a server."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self._ports[name]}", headers=headers, timeout=30)

    def await_ready(self, name: str) -> None:
        """Returns when the server is ready."""
        give_up_s = time.monotonic() + 90
        with self.client(name) as client:
            while time.monotonic() < give_up_s:
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.TransportError:
                    assert self._running[name].poll() is None, (self._folder / f"{name}.log").read_text()[-2000:]
                time.sleep(0.1)
        raise AssertionError(f"{name} was not ready in time")

    def stop(self) -> dict[str, int]:
        """Ends all with SIGTERM, and says with what they ended."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        try:
            return {name: process.wait(60) for name, process in self._running.items()}
        finally:
            for process in self._running.values():
                process.kill()

    def _here(self, value: str) -> str:
        for there, here in self._places.items():
            value = value.replace(there, here)
        return value


@contextmanager
def stack(folder: Path) -> Iterator[tuple[Stack, str]]:
    """The services' surroundings, with the address of the index; nothing runs yet."""
    secrets = folder / "secrets"
    secrets.mkdir()
    with ExitStack() as opened:
        postgres, redis = opened.enter_context(postgres_server()), opened.enter_context(redis_server())
        index = opened.enter_context(qdrant_server())
        keys = secrets / "api_keys"
        command = ["keys", "create", "--subject", "admin", "--scope", "read", "--scope", "write", "--file", str(keys)]
        made = subprocess.run([*RAG, *command], cwd=ROOT, capture_output=True, text=True, check=True)
        (secrets / "qdrant_api_key").write_text("sesame")
        (secrets / "postgres_url").write_text(postgres)
        places = {"/run/secrets": str(secrets), "http://qdrant:6333": index, "redis://valkey:6379/0": redis}
        running = Stack(folder, places)
        running.token = made.stdout.strip()
        try:
            yield running, index
        finally:
            running.stop()


def text_of(number: int) -> str:
    return f"Item {number} of the register weighs {number * 37 % 1009} pounds and stands in hall {number % 17}."


def push(running: Stack, numbers: Iterator[int], servers: list[str], pushed: list[int]) -> None:
    """Puts documents until there are enough, each again at another server until one has accepted it."""
    with ExitStack() as opened:
        clients = [opened.enter_context(running.client(name)) for name in servers]
        for number in numbers:
            if number >= N_DOCUMENTS:
                return
            for attempt in count(number):
                if accepts(clients[attempt % len(clients)], number):
                    break
                time.sleep(0.05)
            pushed.append(number)


def accepts(client: httpx.Client, number: int) -> bool:
    try:
        body = {"uri": f"register:{number}", "text": text_of(number)}
        return client.put("/documents", json=body).status_code == 202
    except httpx.TransportError:
        return False


def ask(running: Stack, servers: list[str], done: Event) -> tuple[int, int]:
    """Asks all the time, at another server when one does not answer; how often, and how often nobody answered."""
    n_asked = n_unanswered = 0
    with ExitStack() as opened:
        clients = [opened.enter_context(running.client(name)) for name in servers]
        while not done.wait(0.25):
            n_asked += 1
            n_unanswered += not any(answers(client) for client in clients)
    return n_asked, n_unanswered


def answers(client: httpx.Client) -> bool:
    try:
        reply = client.post("/search", json={"query": "What does item 7 weigh?", "top_k": 20})
    except httpx.TransportError:
        return False
    uris = [found["uri"] for found in reply.json().get("results", ())]
    assert len(uris) == len(set(uris)), "a document of one chunk was found twice"
    return reply.status_code == 200


def listed(client: httpx.Client) -> Iterator[dict[str, object]]:
    cursor = None
    while True:
        page = client.get("/documents", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
        yield from page["documents"]
        cursor = page["cursor"]
        if cursor is None:
            return


def n_chunks(index: str) -> int:
    """How many chunks the index holds, asked of itself."""
    wanted = {"filter": {"must": [{"key": "kind", "match": {"value": "chunk"}}]}, "exact": True}
    reply = httpx.post(f"{index}/collections/groundwire/points/count", json=wanted, headers={"api-key": "sesame"})
    found: int = reply.json()["result"]["count"]
    return found


def test_a_server_and_a_worker_die_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    servers, workers = ["api1", "api2"], ["worker1", "worker2"]
    with stack(tmp_path) as (running, index), ThreadPoolExecutor(N_CLIENTS + 1) as pool:
        for name in (*servers, *workers):
            running.start(name)
        for name in servers:
            running.await_ready(name)
        numbers, pushed, done = iter(range(10**9)), [], Event()
        began_s = time.monotonic()
        asking = pool.submit(ask, running, servers, done)
        try:
            pushing = [pool.submit(push, running, numbers, servers, pushed) for _ in range(N_CLIENTS)]
            await_(lambda: len(pushed) > N_DOCUMENTS / 4)
            running.kill("worker1")
            running.kill("api1")
            await_(lambda: len(pushed) > N_DOCUMENTS / 2)
            running.start("api1")
            running.start("worker1")
            for each in pushing:
                each.result()
            handed_in_s = time.monotonic() - began_s
            with running.client("api2") as client:
                await_(lambda: client.get("/documents", params={"limit": 1}).json()["total"] >= N_DOCUMENTS)
                indexed_s = time.monotonic() - began_s
                reports = ingested_by_all(running, servers, tmp_path / "folder")
                time.sleep(1)  # for what would be indexed a second time
                documents = list(listed(client))
        finally:
            done.set()
        n_asked, n_unanswered = asking.result()
        n_stored = n_chunks(index)
        codes = running.stop()
    pushed_uris = [f"register:{number}" for number in range(N_DOCUMENTS)]
    uris = [document["uri"] for document in documents if not document["uri"].startswith("file:")]
    assert sorted(uris) == sorted(pushed_uris)
    assert {document["n_chunks"] for document in documents} == {1}
    assert (len(documents), n_stored) == (N_DOCUMENTS + N_FILES, N_DOCUMENTS + N_FILES)
    assert [report["failed"] for report in reports] == [0, 0]
    assert n_unanswered == 0
    assert n_asked > 1
    assert set(codes.values()) == {0}
    told = {"documents": N_DOCUMENTS, "handed_in_s": handed_in_s, "indexed_s": indexed_s, "asked": n_asked}
    print(json.dumps(told))  # noqa: T201 - for those who run it at full size


def ingested_by_all(running: Stack, servers: list[str], folder: Path) -> list[dict[str, int]]:
    """What became of one folder that is read beside every server at once."""
    folder.mkdir()
    for number in range(N_FILES):
        (folder / f"{number}.md").write_text(f"File {number} tells of hall {number * 31 % 97}.", encoding="utf-8")
    readers = [running.ingest(name, folder) for name in servers]
    return [json.loads(reader.communicate(timeout=WITHIN_S)[0]) for reader in readers]


def await_(condition) -> None:
    give_up_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < give_up_s, "it took too long"
        time.sleep(0.2)  # it is asked of the servers under test


def test_the_services_of_the_stack_are_commands_of_ours() -> None:
    dockerfile = (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert re.search(r'^ENTRYPOINT \["rag"\]$', dockerfile, re.MULTILINE)
    assert [SERVICES[name]["command"] for name in ("api", "worker")] == [["serve"], ["worker"]]
