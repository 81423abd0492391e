"""Taking a backup over HTTP: who may, and what is told."""

from types import SimpleNamespace

from rag.base.errors import Conflict
from rag.govern.keys import KeyRing
from tests.serve.stage import GOVERNS, KEYS, OPERATES, client_of, services


async def test_operators_take_one_and_are_told_where_it_lies_and_nothing_of_what_is_in_it():
    async with client_of(services(keys=KeyRing(KEYS)), headers=OPERATES) as client:
        assert (await client.post("/admin/backup", headers=GOVERNS)).status_code == 403
        reply = await client.post("/admin/backup")
    assert reply.status_code == 201
    told = {"file": "backups/a.tar", "version": "1", "made_at": "2026-01-02T00:00:00Z", "files": 3, "bytes": 9}
    assert reply.json() == told


async def test_one_at_a_time():
    async def take():
        raise Conflict("a backup is being taken already; wait for it")

    parts = services(backups=SimpleNamespace(take=take), keys=KeyRing(KEYS))
    async with client_of(parts, headers=OPERATES) as client:
        assert (await client.post("/admin/backup")).status_code == 409
