"""Versions of a prompt before a real server: chosen by routes, moved by labels, named in what is told of an answer."""

import signal
import time
from os import kill

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
