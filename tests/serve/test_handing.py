"""The documents part of the interface where workers index: what is answered at once, waited for, shown and deleted."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from rag.base.ids import document_id
from rag.govern.limits import Limits
from rag.records import submissions
from rag.records.config import SqliteConfig
from rag.records.database import open_database
from rag.serve.app import create_app
from tests.ingest.queue.conftest import House
from tests.serve.stage import GOVERNS, OTHERS, READS, WRITES, client_of, services, until
from tests.serve.test_documents import LEGALS, with_library

REFUNDS = {"uri": "wiki:refunds", "text": "the cat sat on a mat"}
REFUNDS_ID = document_id("acme", "wiki:refunds")
AT = f"/documents/{REFUNDS_ID}"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_database(SqliteConfig(), tmp_path) as database:
        yield House(database)


def staged(house: House, **changes: object) -> object:
    return services(keys=with_library().keys, library=house.library, desk=house.desk, **changes)


def in_this_loop(house: House) -> httpx.AsyncClient:
    """A client whose requests run beside the test."""
    transport = httpx.ASGITransport(create_app(staged(house), version="0"))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=WRITES)


async def indexed(house: House) -> None:
    """Does what workers do, until nothing waits."""
    while house.offered:
        identifier, _ = house.offered.pop()
        found = await house.database.run(partial(submissions.find, identifier=identifier))
        if found is not None:
            await house.work(house.worker(), found)


async def test_a_document_is_accepted_at_once_and_searchable_when_a_worker_came_to_it(house: House) -> None:
    async with client_of(staged(house), WRITES) as client:
        accepted = await client.put("/documents", json=REFUNDS)
        waiting = (await client.get(AT)).json()
        await indexed(house)
        there = (await client.get(AT, params={"text": "true"})).json()
    assert accepted.status_code == 202
    assert (accepted.json()["id"], accepted.json()["status"], accepted.json()["state"]) == (
        REFUNDS_ID,
        "accepted",
        "queued",
    )
    assert (waiting["uri"], waiting["state"], waiting["n_chunks"]) == ("wiki:refunds", "queued", 0)
    assert {name: waiting["pending"][name] for name in ("attempts", "reason", "may_work_later", "eta_s")} == {
        "attempts": 0,
        "reason": "",
        "may_work_later": False,
        "eta_s": None,
    }
    assert (there["state"], there["text"], "pending" in there) == ("searchable", REFUNDS["text"], False)


async def test_who_waits_gets_what_became_of_it(house: House) -> None:
    async with in_this_loop(house) as client:
        waiting = asyncio.create_task(client.put("/documents?wait=searchable", json=REFUNDS))
        await until(lambda: house.offered)
        await indexed(house)
        reply = await waiting
    assert (reply.status_code, reply.json()["status"], reply.json()["state"]) == (200, "added", "searchable")


async def test_who_waits_in_vain_is_told_how_far_it_came(house: House) -> None:
    limits = Limits(ingest_timeout_s=0.05)
    async with client_of(staged(house, limits=limits), WRITES) as client:
        reply = await client.put("/documents?wait=indexed", json=REFUNDS)
    assert (reply.status_code, reply.json()["state"]) == (202, "queued")


async def test_a_document_that_failed_says_why(house: House) -> None:
    house.library.indexer._config = type(house.library.indexer._config)(max_text_chars=3)
    async with in_this_loop(house) as client:
        await client.put("/documents", json=REFUNDS)
        await indexed(house)
        shown = (await client.get(AT)).json()
        again = asyncio.create_task(client.put("/documents?wait=indexed", json=REFUNDS))
        await until(lambda: house.offered)
        await indexed(house)
        refused = await again
    assert (shown["state"], shown["pending"]["attempts"]) == ("failed", 1)
    assert "3 are allowed" in shown["pending"]["reason"]
    assert refused.status_code == 422


async def test_a_new_version_keeps_the_old_one_visible_and_its_readers(house: House) -> None:
    async with client_of(staged(house), LEGALS) as client:
        await client.put("/documents", json=REFUNDS | {"acl": ["group:legal"]})
        widened = await client.put("/documents", json=REFUNDS | {"text": "the mat"})
        hidden = await client.get(AT, headers=WRITES)
        taken = await client.put("/documents", json=REFUNDS, headers=WRITES)
        await indexed(house)
        await client.put(AT, json={"text": "the cat"})
        between = (await client.get(AT, params={"text": "true"})).json()
        await indexed(house)
        after = (await client.get(AT, params={"text": "true"})).json()
    assert (widened.status_code, hidden.status_code, taken.status_code) == (202, 404, 403)
    assert (between["state"], between["text"], between["acl"]) == ("queued", "the mat", ["group:legal"])
    assert (after["state"], after["text"], after["acl"]) == ("searchable", "the cat", ["group:legal"])


async def test_who_sees_the_old_version_only_may_not_undo_the_new_one(house: House) -> None:
    """It was withdrawn from them: the new version is to hide what they still see."""
    async with client_of(staged(house), LEGALS) as client:
        await client.put("/documents", json=REFUNDS)
        await indexed(house)
        await client.put("/documents", json=REFUNDS | {"acl": ["group:legal"]})
        replaced = await client.put(AT, json={"text": "mine"}, headers=WRITES)
        deleted = await client.delete(AT, headers=WRITES)
        await indexed(house)
        shown = (await client.get(AT, params={"text": "true"})).json()
    assert (replaced.status_code, deleted.status_code) == (403, 403)
    assert (shown["text"], shown["acl"]) == (REFUNDS["text"], ["group:legal"])


async def test_what_waits_can_be_deleted_by_those_who_may_see_it(house: House) -> None:
    async with client_of(staged(house), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        stranger = await client.delete(AT, headers=OTHERS)
        deleted = await client.delete(AT)
        await indexed(house)
        gone = await client.get(AT, headers=READS)
    assert (stranger.status_code, deleted.status_code, gone.status_code) == (404, 204, 404)


async def test_everything_is_deleted_with_what_waits(house: House) -> None:
    async with client_of(staged(house), WRITES) as client:
        await client.put("/documents", json=REFUNDS)
        await indexed(house)
        await client.put("/documents", json=REFUNDS | {"uri": "wiki:other"})
        deleted = await client.post("/documents/delete", json={"everything": True}, headers=GOVERNS)
        await indexed(house)
        listed = (await client.get("/documents")).json()
    assert (deleted.json(), listed["total"]) == ({"deleted": 1, "left": 0}, 0)
