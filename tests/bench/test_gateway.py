"""`rag bench gateway` for real, and what its peers need."""

import json
import subprocess

import pytest

from rag.bench.compare import rows
from rag.bench.gateway import PROVIDER, added
from tests.bench.test_compare import a_run
from tests.e2e.conftest import RAG, ROOT


@pytest.mark.sockets
@pytest.mark.timeout(300)
def test_the_gateway_is_measured_against_the_bare_provider(tmp_path):
    told = tmp_path / "told.json"
    pace = ["--clients", "2", "--seconds", "0.4", "--warm-up", "0.1", "--repeats", "1", "--json", told]
    run = subprocess.run(
        [*RAG, "bench", "gateway", "--stream", *pace], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(told.read_bytes())
    assert [(row["server"], row["n_void"]) for row in report["rows"]] == [("groundwire", 0), (PROVIDER, 0)]
    assert report["ratios"] == []
    assert report["notes"][0].startswith("2: groundwire adds ")
    assert all(row["per_s"] > 0 and row["first_p50"] <= row["p50"] for row in report["rows"])


def test_what_is_added_is_the_difference_to_the_provider_under_the_same_load():
    runs = [a_run("groundwire", 50), a_run(PROVIDER, 100), a_run("groundwire", 50, level=1), a_run("x", 1, timeout=1)]
    assert added(rows(runs)) == ["8: groundwire adds 0.00 ms to the p50, 0.00 ms to the first token"]


def test_a_peer_that_nobody_knows_is_refused():
    run = subprocess.run([*RAG, "bench", "gateway", "--peer", "kong"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "no peer 'kong' here" in run.stderr
