"""Keys that change while the server runs."""

import time

import httpx
import pytest

from tests.e2e.conftest import Workspace

pytestmark = pytest.mark.sockets

WITHIN_S = 15.0


def status(client: httpx.Client, token: str) -> int:
    return client.post("/search", json={"query": "x"}, headers={"authorization": f"Bearer {token}"}).status_code


def until(client: httpx.Client, token: str, wanted: int) -> None:
    give_up_s = time.monotonic() + WITHIN_S
    while (seen := status(client, token)) != wanted:
        assert time.monotonic() < give_up_s, f"still {seen}"
        time.sleep(0.1)


def test_keys_are_made_rotated_and_revoked_without_a_restart(workspace: Workspace) -> None:
    workspace.write("a.md", "A document.")
    workspace.ingest()
    keys = workspace.folder / "keys.json"
    first = workspace.rag("keys", "create", "--subject", "ann", "--file", keys).stdout.strip()
    with workspace.server(RAG__AUTH__KEYS_FILE=str(keys)) as client:
        assert status(client, first) == 200
        second = workspace.rag("keys", "create", "--subject", "bob", "--requests-per-minute", 1, "--file", keys)
        bob = second.stdout.strip()
        until(client, bob, 200)
        assert status(client, bob) == 429, "with its allowance"
        old = first.split("_")[1]
        heir = workspace.rag("keys", "rotate", old, "--overlap-hours", 0, "--file", keys).stdout.strip()
        until(client, heir, 200)
        assert status(client, first) == 401
        assert workspace.rag("keys", "revoke", heir.split("_")[1], "--file", keys).returncode == 0
        until(client, heir, 401)
        keys.write_text("[")
        time.sleep(1.5)
        assert status(client, bob) in (200, 429), "a broken file changes nothing"
