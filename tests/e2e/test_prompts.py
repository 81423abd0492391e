"""Versions of a prompt before a real server: chosen by routes, moved by labels, named in what is told of an answer."""

import json
import signal
import time
from os import kill
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Workspace
from tests.e2e.provider import provider

pytestmark = pytest.mark.sockets

PROMPT = "# system\nYou are version {number}.\n# user\n{{sources}}\n\n{{question}}\n"
TOML = """
prompts_dir = "prompts"
[prompts.answer]
labels = {{ production = {production}, staging = 3 }}
[models.gpt]
kind = "openai"
model = "gpt"
base_url = "{url}"
[routes.best]
targets = [{{ model = "gpt" }}]
prompt = "answer@production"
allowed_prompts = ["answer@staging"]
parameters = {{ temperature = 0.7, max_tokens = 99 }}
[answer]
model = "best"
"""


def asked(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/ask", json={"question": "When was the tower built?", **body})


def template_of(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    template: str = reply.json()["lineage"]["template"]
    return template.partition("#")[0]


def test_labels_lead_to_versions_and_move_while_the_server_runs(workspace: Workspace) -> None:
    workspace.write("tower.md", "# The tower\n\nIt was built in 1889.")
    workspace.ingest()
    (workspace.folder / "prompts").mkdir()
    for number in (2, 3):
        (workspace.folder / "prompts" / f"answer.v{number}.md").write_text(PROMPT.format(number=number))
    file = workspace.folder / "rag.toml"
    with provider(lambda _: "In 1889 [1].") as (bodies, url):
        file.write_text(TOML.format(production=2, url=url))
        with workspace.server() as client:
            assert template_of(asked(client)) == "answer.v2"
            assert template_of(asked(client, prompt="answer@staging")) == "answer.v3"
            refused = asked(client, prompt="answer@1")
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/prompt")
            file.write_text(TOML.format(production=3, url=url))
            kill(client.pid, signal.SIGHUP)  # type: ignore[attr-defined]  # see the workspace
            give_up_s = time.monotonic() + 20
            while template_of(asked(client)) != "answer.v3" and time.monotonic() < give_up_s:
                time.sleep(0.02)
            moved = asked(client)
            assert (template_of(moved), moved.json()["cache"]["status"]) == ("answer.v3", "hit")
            log = workspace.rag("log", "export")
    assert {body["messages"][0]["content"] for body in bodies} == {"You are version 2.", "You are version 3."}
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.7, 99)}
    assert '"answer.v3#' in log.stdout


LONG = """
[models.gpt]
kind = "openai"
model = "gpt"
base_url = "{url}"
price = {{ input_usd_per_mtok = 1.0, output_usd_per_mtok = 10.0 }}
[models.cheap]
kind = "openai"
model = "{cheap}"
base_url = "{url}"
price = {{ input_usd_per_mtok = 1.0, output_usd_per_mtok = 10.0 }}
[routes.best]
targets = [{{ model = "gpt" }}]
parameters = {{ history_tokens = 400 }}
summary = {{ model = "cheap", max_tokens = 64 }}
[answer]
model = "best"
[accounts.acme]
budget_usd = 1.0
models = ["best"]
"""


def talked(n_rounds: int, letter: str = "a") -> list[dict[str, str]]:
    """So much of a conversation, about 60 tokens a round."""
    said = [(f"{at}? {letter * 100}", letter * 100) for at in range(n_rounds)]
    roles = ("user", "assistant")
    return [{"role": role, "content": text} for both in said for role, text in zip(roles, both, strict=True)]


def test_a_long_conversation_is_summarised_and_that_is_paid_for_like_any_call(workspace: Workspace) -> None:
    workspace.write("tower.md", "# The tower\n\nIt was built in 1889.")
    workspace.ingest()
    keys = workspace.folder / "keys.json"
    token = workspace.rag("keys", "create", "--subject", "ann", "--account", "acme", "--file", keys).stdout.strip()

    def answering(body: dict[str, Any]) -> str:
        return {"cheap": "The user asked for towers.", "down": "", "gpt": "In 1889 [1]."}[body["model"]]

    def less(client: httpx.Client) -> Any:
        return asked(client, history=talked(13, "b")).json()

    with provider(answering) as (bodies, url):
        file = workspace.folder / "rag.toml"
        file.write_text(LONG.format(url=url, cheap="cheap"))
        with workspace.server(RAG__AUTH__KEYS_FILE=str(keys)) as client:
            client.headers["authorization"] = f"Bearer {token}"
            dropped = []
            for n_rounds in range(16):
                messages = [*talked(n_rounds), {"role": "user", "content": "And now?"}]
                reply = client.post("/v1/chat/completions", json={"model": "best", "messages": messages})
                assert reply.status_code == 200, reply.text
                dropped.append(reply.json().get("groundwire", {}).get("dropped", []))
            n_summaries = sum(body["model"] == "cheap" for body in bodies)
            assert dropped == [[]] * 7 + [["history_details"]] * 9
            assert 0 < n_summaries < 5, "16 turns"
            answer = asked(client, history=talked(15)).json()
            assert (answer["answer"], answer["degraded"]) == ("In 1889 [1].", [])
            assert [turn["role"] for turn in bodies[-1]["messages"][:4]] == ["system", "user", "assistant", "user"]
            assert bodies[-1]["messages"][2]["content"] == "The user asked for towers."
            assert sum(body["model"] == "cheap" for body in bodies) == n_summaries, "the same conversation, remembered"
            [balance] = json.loads(workspace.rag("accounts", "acme", "--json").stdout)
            assert balance["reserved_microusd"] == 0
            assert balance["spent_microusd"] == len(bodies) * 200

            file.write_text(LONG.format(url=url, cheap="down"))
            kill(client.pid, signal.SIGHUP)  # type: ignore[attr-defined]  # see the workspace
            give_up_s = time.monotonic() + 20
            while not (answer := less(client))["degraded"] and time.monotonic() < give_up_s:
                time.sleep(0.02)
            assert (answer["answer"], answer["degraded"]) == ("In 1889 [1].", ["history_summary"])
