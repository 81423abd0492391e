"""A question has the same scores whatever else the server is working on, with both shipped models."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Workspace

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(300)]

TOPICS = ["tower", "bridge", "battery", "refund", "parental leave", "river", "engine", "harbour"]
QUESTION = "How long is the bridge over the river, and since when?"
ROUNDS = 50


def scores(client: httpx.Client, query: str) -> dict[tuple[str, str], float]:
    """By chunk and leg; only legs whose score is a model's own and not relative to the other candidates."""
    reply: dict[str, Any] = client.post("/search", json={"query": query, "top_k": 10}).raise_for_status().json()
    assert reply["degraded"] == []
    own = {"dense", "rerank"}
    return {
        (r["chunk_id"], leg["origin"]): leg["score"]
        for r in reply["results"]
        for leg in r["legs"]
        if leg["origin"] in own
    }


def test_scores_do_not_depend_on_what_else_is_in_flight(workspace: Workspace) -> None:
    chance = random.Random(3)
    for number, topic in enumerate(TOPICS * 3):
        facts = " ".join(
            f"The {topic} {number} has property {n * number % 17} since {1900 + n}." for n in range(1 + number)
        )
        workspace.write(f"{number:02}.md", f"# The {topic}\n\n{facts}\n")
    workspace.ingest()
    with (
        workspace.server(
            RAG__RERANKER__KIND="onnx", RAG__LIMITS__DEGRADE_WAIT_S="600", RAG__LIMITS__MAX_WAIT_S="600"
        ) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        alone = scores(client, QUESTION)
        assert {origin for _, origin in alone} == {"dense", "rerank"}
        for _ in range(ROUNDS):
            others = [" ".join(chance.choices(TOPICS, k=chance.randint(1, 30))) for _ in range(chance.randint(1, 7))]
            crowd = [pool.submit(scores, client, other) for other in others]
            crowded = scores(client, QUESTION)
            assert crowded.keys() == alone.keys()
            assert max(abs(crowded[key] - alone[key]) for key in alone) <= 1e-5
            for one in crowd:
                one.result()
