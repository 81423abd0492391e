"""The real command in a folder of its own: real models, real store, real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
RAG = [sys.executable, "-c", "from rag.cli.main import main; main()"]
READY_WITHIN_S = 60.0


class Workspace:
    """A data folder, a folder of documents, and the command over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.documents = folder / "documents"
        self.documents.mkdir()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAG")}
        self.environ = {**plain, "RAG__DATA_DIR": str(self.data_dir), "PYTHONPATH": str(ROOT)}

    def write(self, name: str, text: str) -> Path:
        file = self.documents / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def rag(self, *arguments: object, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        command = [*RAG, *map(str, arguments)]
        return subprocess.run(
            command, env=self.environ, cwd=self.folder, input=stdin, capture_output=True, text=True, check=False
        )

    def start(self, *arguments: object) -> "subprocess.Popen[bytes]":
        command = [*RAG, *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.environ, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def ingest(self, *arguments: object) -> dict[str, Any]:
        run = self.rag("ingest", *(arguments or (self.documents,)), "--json")
        assert run.returncode in (0, 1), run.stderr
        summary: dict[str, Any] = json.loads(run.stdout)
        return summary

    def listed(self) -> list[dict[str, Any]]:
        run = self.rag("documents", "list", "--json", "--limit", 200)
        assert run.returncode == 0, run.stderr
        documents: list[dict[str, Any]] = json.loads(run.stdout)["documents"]
        return documents

    @contextmanager
    def server(self, **environ: str) -> Iterator[httpx.Client]:
        """A running server; ended with SIGTERM and expected to end with 0, unless the test killed it."""
        self.environ |= environ
        process = self.start("serve", "--port", 0)
        try:
            state = self._state_of(process)
            with httpx.Client(base_url=state["url"], timeout=30) as client:
                client.pid = process.pid  # type: ignore[attr-defined]  # for tests that kill it
                yield client
        finally:
            killed = process.poll() is not None
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in ((0,) if not killed else (0, -signal.SIGKILL))

    def _state_of(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        file = self.data_dir / "server.json"
        give_up_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up_s:
            if file.exists():
                state: dict[str, Any] = json.loads(file.read_bytes())
                if state["pid"] == process.pid:
                    return state
            assert process.poll() is None, "the server ended before it was ready"
            time.sleep(0.02)
        raise AssertionError("the server was not ready in time")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)
