"""Servers of other projects, started from the machine's own packages for as long as a test needs them."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

WITHIN_S = 20.0
_NOBODY = 65534
_ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis server of its own. Skips where none is installed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server or valkey-server is installed")
    port = free_port()
    with (
        TemporaryDirectory(prefix="groundwire-redis-") as folder,
        _running([program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""], port),
    ):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, behind a socket in a folder. Skips where none is installed."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    user = _NOBODY if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with TemporaryDirectory(prefix="groundwire-postgres-") as folder:  # a short path: it is part of a socket's
        if user is not None:
            os.chown(folder, user, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{folder}/data", *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=3 * WITHIN_S, user=user)

        run("initdb", "-U", "tester", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-o", options, "-l", f"{folder}/log", "-w", "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")


@contextmanager
def qdrant_server() -> Iterator[str]:
    """The URL of the Qdrant server that QDRANT_URL names, else of a stand-in, which says what it is."""
    if url := os.environ.get("QDRANT_URL"):
        yield url
        return
    port = free_port()
    with _running([sys.executable, "-m", "tests.qdrant_server", str(port)], port):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps them out of PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_ROOT) as process:
        try:
            _await_port(process, port)
            yield
        finally:
            process.terminate()
            try:
                process.wait(WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it listened")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server does not listen after {WITHIN_S} s")
