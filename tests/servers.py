"""Servers of other projects, started from the machine's own packages for as long as a test needs them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WITHIN_S = 20.0


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The URL of a Redis server of its own. Skips where none is installed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("no redis-server or valkey-server is installed")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with _running(command, port):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server of its own. Skips where none is installed, or root has no one to run it as."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    as_user: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv to be someone else with")
        shutil.chown(folder, "nobody")
        for parent in [folder, *folder.parents][:3]:
            parent.chmod(0o755)
        as_user = ["setpriv", "--reuid=nobody", "--clear-groups"]
    data, port = folder / "data", free_port()
    made = [*as_user, str(programs / "initdb"), "-D", str(data), "-U", "groundwire", "--auth=trust", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, timeout=WITHIN_S * 3)
    server = [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    with _running([*server, "-k", str(folder), "-F"], port):
        yield f"postgresql://groundwire@127.0.0.1:{port}/postgres"


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
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
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
