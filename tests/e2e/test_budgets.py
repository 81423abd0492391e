"""Keys with budgets before a real server and a provider that counts."""

import json

import pytest

from tests.e2e.conftest import Workspace
from tests.e2e.provider import provider

pytestmark = pytest.mark.sockets


def test_a_budget_is_spent_to_its_end_and_never_beyond(workspace: Workspace) -> None:
    workspace.write("refunds.md", "# Refunds\n\nRefunds take fourteen days after the goods came back.")
    workspace.ingest()
    keys = workspace.folder / "keys.json"
    made = workspace.rag("keys", "create", "--subject", "ann", "--account", "acme/shop", "--file", keys)
    token = made.stdout.strip()
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 10.0}
    with provider(lambda _: "Fourteen days [1].") as (asked, url):
        environ = {
            "RAG__AUTH__KEYS_FILE": str(keys),
            "RAG__MODELS": json.dumps({"gpt": {"kind": "openai", "model": "gpt", "base_url": url, "price": price}}),
            "RAG__ANSWER__MODEL": "gpt",
            "RAG__ANSWER__MAX_TOKENS": "100",
            "RAG__ACCOUNTS": json.dumps({"acme": {"budget_usd": 0.005}, "acme/shop": {}}),
        }
        with workspace.server(**environ) as client:
            headers = {"authorization": f"Bearer {token}"}
            question = {"question": "How long do refunds take?", "cache": "off"}
            answers = [client.post("/ask", json=question, headers=headers).json() for _ in range(40)]
    paid = [answer for answer in answers if answer["degraded"] == []]
    assert {answer["answer"] for answer in paid} == {"Fourteen days [1]."}
    assert 0 < len(paid) == len(asked) < 40
    refused = [answer for answer in answers if answer["degraded"] == ["generate"]]
    assert len(paid) + len(refused) == 40
    assert all("fourteen days" in answer["answer"] for answer in refused), "the extractive answer took its place"
    [balance] = json.loads(workspace.rag("accounts", "acme", "--json").stdout)
    assert balance["reserved_microusd"] == 0
    assert balance["spent_microusd"] == len(paid) * 200 <= 5_000
