"""Routes explained and models exchanged over HTTP: who may, what is told, what is refused."""

from contextlib import asynccontextmanager

import pytest

from llm.config import ExtractiveConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import open_models
from rag.bench.upstream.transport import SimulatedProvider
from rag.govern.keys import KeyRing
from rag.reload import Reloader
from rag.settings import load_settings
from tests.fakes import HashingEmbedder
from tests.serve.stage import GOVERNS, KEYS, OPERATES, READS, WATCHES, client_of, services

TOML = """
[models.a]
kind = "openai"
base_url = "http://upstream/v1"
model = "model-a"
api_key = "hidden"
[models.b]
kind = "anthropic"
model = "model-b"
[routes.r]
targets = [{model = "a", context_tokens = 1000}]
on.default = ["b"]
"""


@asynccontextmanager
async def pool(max_connections: int):
    yield SimulatedProvider()


@pytest.fixture
async def client(tmp_path):
    file = tmp_path / "rag.toml"
    file.write_text(TOML)
    settings = load_settings(file, {})

    def catalogue(settings) -> Catalogue:
        models = {"extractive": ExtractiveConfig(), **settings.models}
        return Catalogue(models=models, routes=settings.routes, routing=settings.routing)

    async with open_models(catalogue(settings), Parts(embedder=HashingEmbedder(), transport=pool)) as models:
        reloader = Reloader(settings, lambda changed: models.exchange(catalogue(changed)))
        staged = services(registry=models, models=models, reloader=reloader, keys=KeyRing(KEYS))
        async with client_of(staged, headers=OPERATES) as client:
            yield client


async def test_a_route_is_explained(client):
    told = (await client.get("/admin/routes/r")).json()
    assert (told["route"], told["chosen"], told["reason"]) == ("r", "a", "only one left")
    a, b = told["candidates"]
    assert (a["target"], a["model"], a["excluded"], a["breaker"]) == ("a", "model-a", None, "closed")
    assert (b["target"], b["listed"], b["excluded"]) == ("b", "default", "stands by for default")
    told = (await client.get("/admin/routes/r", params={"prompt_tokens": 5_000})).json()
    assert [one["excluded"] for one in told["candidates"]] == ["context", "stands by for default"]
    assert told["chosen"] is None
    listed = (await client.get("/admin/routes")).json()["routes"]
    assert [route["route"] for route in listed] == ["a", "b", "extractive", "r"]


async def test_one_that_is_not_there_is_not_found(client):
    reply = await client.get("/admin/routes/nobody")
    assert reply.status_code == 404
    assert "there is: a, b, extractive, r" in reply.json()["detail"]


async def test_who_watches_may_look_and_only_an_operator_may_change(client):
    assert (await client.get("/admin/routes", headers=READS)).status_code == 403
    assert (await client.get("/admin/routes", headers=WATCHES)).status_code == 200
    for headers in (READS, WATCHES, GOVERNS):
        assert (await client.get("/admin/config", headers=headers)).status_code == 403
        assert (await client.put("/admin/config", json={"routes": {}}, headers=headers)).status_code == 403


async def test_routes_are_exchanged_and_the_rest_stays(client):
    routes = {"q": {"targets": [{"model": "b"}]}}
    reply = await client.put("/admin/config", json={"routes": routes})
    assert (reply.status_code, reply.json()) == (200, {"changed": ["routes"]})
    assert (await client.get("/admin/routes/q")).json()["chosen"] == "b"
    assert (await client.get("/admin/routes/r")).status_code == 404
    config = (await client.get("/admin/config")).json()
    assert set(config["models"]) == {"a", "b"}
    assert config["models"]["a"]["api_key"] == "***"
    assert (await client.put("/admin/config", json={"routes": routes})).json() == {"changed": []}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"routes": {"r": {"targets": [{"model": "z"}]}}}, "/routes/r/targets/0/model"),
        ({"routing": {"probes": 0}}, "/routing/probes"),
        ({"index": {"threads": 2}}, "/index"),
        ({"prompts": {"answer": {"labels": {"production": 9}}}}, "/prompts/answer/labels/production"),
        ({"prompts": {"answer": {"versions": {"2": "Answer!"}}}}, "/prompts/answer/versions/2"),
        ({"routes": {"r": {"targets": [{"model": "a"}], "prompt": "x"}}}, "/routes/r/prompt"),
        ({"models": {}}, "/routes/r/targets/0/model"),
        ([], ""),
    ],
)
async def test_a_fault_is_pointed_at_and_changes_nothing(client, body, pointer):
    reply = await client.put("/admin/config", json=body)
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"] == pointer
    assert (await client.get("/admin/routes/r")).json()["chosen"] == "a"
