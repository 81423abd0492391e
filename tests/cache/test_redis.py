"""What one server keeps another may give, if it is whole and meant for just that request; else it is a miss."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio as redis
from msgspec.structs import replace

from cache.config import MemoryConfig
from cache.factory import open_memory
from cache.redis import MAX_QUEUED, PREFIX, SharedAnswers, open_shared_answers
from rag.base.secret import Secret
from tests.cache.entries import entry, key_of
from tests.servers import free_port, redis_server

pytestmark = pytest.mark.sockets

FAR_S = 1e12


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def namespace() -> str:
    return uuid4().hex


@pytest.fixture
async def shared(url: str, namespace: str) -> AsyncIterator[SharedAnswers]:
    async with open_shared_answers(url, namespace) as opened:
        yield opened


@pytest.fixture
async def raw(url: str) -> "AsyncIterator[redis.Redis]":
    client = redis.from_url(url)
    yield client
    await client.aclose()


async def keep(shared: SharedAnswers, *names: str) -> None:
    for name in names:
        shared.put(entry(name, ttl_s=FAR_S))
    await shared.written()


async def test_another_server_finds_what_was_kept_whole(shared: SharedAnswers, url: str, namespace: str) -> None:
    await keep(shared, "a")
    async with open_shared_answers(url, namespace) as other:
        found = await other.get(key_of("a"))
    kept = entry("a", ttl_s=FAR_S)
    assert found is not None
    assert (found.key, found.answer, found.evidence, found.cited) == (kept.key, kept.answer, kept.evidence, kept.cited)
    assert found.question.vector.tolist() == kept.question.vector.tolist()


async def test_another_request_namespace_or_scope_finds_nothing(
    shared: SharedAnswers, url: str, namespace: str
) -> None:
    await keep(shared, "a")
    assert await shared.get(key_of("b")) is None
    assert await shared.get(key_of("a", canonical="another with the same digest")) is None
    assert await shared.get(key_of("a", scope="another")) is None
    async with open_shared_answers(url, namespace + "x") as other:
        assert await other.get(key_of("a")) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "nonsense", "of another entry", "empty"])
async def test_what_is_damaged_is_a_miss(
    shared: SharedAnswers, raw: "redis.Redis", namespace: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(shared, "a", "b")
    names = {name: f"{PREFIX}{namespace}:entry:{key_of(name).digest.hex()}" for name in "ab"}
    data, other = await raw.get(names["a"]), await raw.get(names["b"])
    assert isinstance(data, bytes)
    damaged = {
        "cut": data[:-9],
        "flipped": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "nonsense": b"\x00" * 99,
        "of another entry": other,
        "empty": b"",
    }[damage]
    await raw.set(names["a"], damaged)
    assert await shared.get(key_of("a")) is None
    assert "cannot be read" in caplog.text
    assert await shared.get(key_of("b")) is not None, "and others are still found"


async def test_an_entry_ends_there_when_it_ends_here(shared: SharedAnswers, raw: "redis.Redis", namespace: str) -> None:
    shared.put(entry("old", now_s=time.time() - 100, ttl_s=60))
    shared.put(entry("new", now_s=time.time() - 100, ttl_s=160))
    await shared.written()
    assert await shared.get(key_of("old")) is None
    left_s = await raw.ttl(f"{PREFIX}{namespace}:entry:{key_of('new').digest.hex()}")
    assert 50 <= left_s <= 60


async def test_documents_and_tenants_are_forgotten_with_their_text(
    shared: SharedAnswers, raw: "redis.Redis", namespace: str
) -> None:
    await keep(shared, "a", "b")
    (document,) = {one.document_id for one in entry("a").evidence}
    shared.forget_documents(["elsewhere"])
    await shared.written()
    assert await shared.get(key_of("a")) is not None
    shared.forget_documents([document])
    await shared.written()
    assert await shared.get(key_of("a")) is await shared.get(key_of("b")) is None
    await keep(shared, "c")
    shared.forget_tenant("another")
    await shared.written()
    assert await shared.get(key_of("c")) is not None
    shared.forget_tenant("acme")
    await shared.written()
    assert [name async for name in raw.scan_iter(f"{PREFIX}{namespace}:entry:*")] == []


async def test_a_server_that_is_away_is_a_miss_and_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    client = redis.from_url(f"redis://127.0.0.1:{free_port()}/0")
    shared = SharedAnswers(client, "n", clock=lambda: now_s[0])
    writer = asyncio.create_task(shared.write())
    for _ in range(3):
        assert await shared.get(key_of("a")) is None
        await keep(shared, "a")
    assert caplog.text.count("left alone") == 1
    now_s[0] = 10.0
    assert await shared.get(key_of("a")) is None
    assert caplog.text.count("left alone") == 2
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    await client.aclose()


async def test_writes_that_fall_behind_are_left_out(url: str, caplog: pytest.LogCaptureFixture) -> None:
    client = redis.from_url(url)
    shared = SharedAnswers(client, "n")
    for _ in range(MAX_QUEUED + 2):
        shared.drop(b"x")
    assert caplog.text.count("fall behind") == 2
    await client.aclose()


def config_of(url: str) -> MemoryConfig:
    return MemoryConfig(persist=False, redis_url=Secret(url))


async def test_what_leaves_for_want_of_room_stays_with_the_others(url: str, namespace: str, tmp_path: Path) -> None:
    small = replace(config_of(url), max_bytes=int(1.5 * entry("a").n_bytes))
    async with open_memory(small, tmp_path, namespace) as one, open_memory(small, tmp_path, namespace) as other:
        assert one.shared is not None
        assert other.shared is not None
        one.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
        one.memory.put(entry("b", ttl_s=FAR_S), epoch=1)
        await one.shared.written()
        assert len(one.memory) == 1
        assert await other.shared.get(key_of("a")) is not None
        one.memory.drop(key_of("b").digest)
        await one.shared.written()
        assert await other.shared.get(key_of("b")) is None
        assert other.clear("acme") == 0, "none of them was here"
        await other.shared.written()
        assert await one.shared.get(key_of("a")) is None


async def test_an_edit_at_one_server_forgets_what_others_wrote(url: str, namespace: str, tmp_path: Path) -> None:
    config = config_of(url)
    (document,) = {one.document_id for one in entry("a").evidence}
    async with open_memory(config, tmp_path, namespace) as one, open_memory(config, tmp_path, namespace) as other:
        assert one.shared is not None
        assert other.shared is not None
        one.memory.put(entry("a", ttl_s=FAR_S), epoch=1)
        await one.shared.written()
        other.forget([document])
        await other.shared.written()
        assert await one.shared.get(key_of("a")) is None


async def test_what_waits_is_written_on_leaving(url: str, namespace: str, shared: SharedAnswers) -> None:
    async with open_shared_answers(url, namespace) as leaving:
        leaving.put(entry("last", ttl_s=FAR_S))
    assert await shared.get(key_of("last")) is not None
