"""Building the index anew over HTTP: who may, what is passed on, what is told."""

import dataclasses
from types import SimpleNamespace

import pytest

from rag.govern.keys import KeyRing
from rag.reload import Reloader
from rag.settings import Settings, load_settings
from tests.serve.stage import (
    KEYS,
    OPERATES,
    READS,
    WATCHES,
    WRITES,
    StageSuccession,
    client_of,
    exchange_nothing,
    services,
)


@pytest.fixture
def staged(tmp_path):
    (tmp_path / "rag.toml").write_text("[ingest]\nchunk_tokens = 64\n")
    reloader = Reloader(Settings(), exchange_nothing, lambda: load_settings(tmp_path / "rag.toml", {}))
    succession = StageSuccession()
    return SimpleNamespace(
        parts=services(succession=succession, reloader=reloader, keys=KeyRing(KEYS)), succession=succession
    )


async def test_it_is_built_by_the_settings_file_as_it_is_now_and_by_what_the_body_says(staged):
    async with client_of(staged.parts, headers=OPERATES) as client:
        body = {"embedder": "other", "documents_per_s": 5, "min_overlap": 0.9, "keep_previous": False}
        reply = await client.post("/admin/reindex", json=body)
        assert (reply.status_code, reply.json()["state"], reply.json()["documents"]) == (202, "copying", 3)
        again = await client.post("/admin/reindex", json={})
        assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    (wish,) = staged.succession.wishes
    assert (wish.settings.ingest.chunk_tokens, wish.settings.embedder.model) == (64, "other")
    assert (wish.documents_per_s, wish.min_overlap, wish.keeps_previous) == (5, 0.9, False)


async def test_whoever_watches_may_look_and_only_who_governs_may_start_or_stop(staged):
    async with client_of(staged.parts, headers=WATCHES) as client:
        assert (await client.get("/admin/reindex")).json()["state"] == "idle"
        assert (await client.post("/admin/reindex", json={})).status_code == 403
        assert (await client.delete("/admin/reindex")).status_code == 403
        assert (await client.get("/admin/reindex", headers=READS)).status_code == 403
        told = (await client.delete("/admin/reindex", headers=OPERATES)).json()
        assert (await client.post("/admin/reindex", json={}, headers=WRITES)).status_code == 403
    assert (told["state"], told["questions"], told["overlap_10"]) == ("stopped", 2, 0.5)


@pytest.mark.parametrize("body", [{"min_overlap": 2}, {"documents_per_s": 0}, {"embedder": ""}, {"other": 1}])
async def test_what_makes_no_sense_is_refused(staged, body):
    async with client_of(staged.parts, headers=OPERATES) as client:
        assert (await client.post("/admin/reindex", json=body)).status_code == 422
    assert not staged.succession.wishes


async def test_without_keys_everyone_of_this_machine_may(staged):
    parts = dataclasses.replace(staged.parts, keys=KeyRing())
    async with client_of(parts, headers={"host": "localhost"}) as client:
        assert (await client.post("/admin/reindex", json={})).status_code == 202
