"""Exact answers that several servers share, in Redis or Valkey (7 or later).

What comes from there is only a proposal: it must be whole, be the answer to just this request in this scope, and is
held against this server's own search before it is served. A server that is away, slow or full of nonsense is a miss and
never an error; after a failure nobody asks it for a while. Writing is done behind, by one task with a bounded queue.

Each entry is also listed under its marks, which are its tenant and its documents, so that it can be found when those
are to be forgotten; a list holds the time when each entry ends and loses those whose time is over.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from cache.entry import Entry
from cache.key import CacheKey
from cache.stored import decoded, encoded
from rag.base.deadline import Clock

_log = logging.getLogger(__name__)

PREFIX: Final = "groundwire:answers:"
TIMEOUT_S: Final = 0.1
"""A look that takes longer costs more than the search that it could save."""
REST_S: Final = 2.0
MAX_QUEUED: Final = 1_000
LAST_WORDS_S: Final = 1.0
_CHECKSUM_BYTES: Final = 16

Write = Callable[[], Awaitable[Any]]


class SharedAnswers:
    """The entries of one namespace on one server. Make it with `open_shared_answers`."""

    def __init__(self, client: "redis.Redis", namespace: str, clock: Clock = time.monotonic) -> None:
        self._client = client
        self._prefix = f"{PREFIX}{namespace}:"
        self._clock = clock
        self._rests_until_s = float("-inf")
        self._queue: asyncio.Queue[Write] = asyncio.Queue(MAX_QUEUED)

    async def get(self, key: CacheKey) -> Entry | None:
        """The entry under the key, if it is whole and for just that key. Raises nothing."""
        if self._clock() < self._rests_until_s:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data: Any = await self._client.get(self._name(key.digest))
            return None if data is None else _checked(data, key)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
        except ValueError as error:  # of which msgspec's are some
            _log.warning("a shared answer cannot be read: %s", error)
        return None

    def put(self, entry: Entry) -> None:
        """Keeps an entry until its time is over, soon."""
        self._soon(partial(self._put, entry))

    def drop(self, digest: bytes) -> None:
        """Forgets an entry, soon."""
        self._soon(partial(self._client.unlink, self._name(digest)))

    def evict(self, digest: bytes) -> None:
        """Nothing: that one server has no room for an entry is no reason to take it from the others."""

    def forget_documents(self, documents: Iterable[str]) -> None:
        """Forgets what was written from them, whoever did, soon."""
        for document in documents:
            self._soon(partial(self._forget, self._document(document)))

    def forget_tenant(self, tenant: str) -> None:
        """Forgets all answers of a tenant, soon."""
        self._soon(partial(self._forget, self._tenant(tenant)))

    async def write(self) -> None:
        """Does what was put off, forever."""
        while True:
            write = await self._queue.get()
            try:
                if self._clock() >= self._rests_until_s:
                    await write()
            except (RedisError, OSError) as error:
                self._rest(error)
            finally:
                self._queue.task_done()

    async def written(self) -> None:
        """Returns when nothing is put off any more."""
        await self._queue.join()

    async def _put(self, entry: Entry) -> None:
        now_s = time.time()
        left_s = int(entry.stored_at_s + entry.ttl_s - now_s)
        if left_s <= 0:
            return
        name, data = self._name(entry.key.digest), encoded(entry)
        marks = {self._tenant(entry.tenant), *(self._document(one.document_id) for one in entry.evidence)}
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.set(name, _checksum(entry.key.digest, data) + data, ex=left_s)
            for mark in marks:
                pipe.zremrangebyscore(mark, "-inf", now_s)
                pipe.zadd(mark, {name: now_s + left_s})
                pipe.expire(mark, left_s, nx=True)
                pipe.expire(mark, left_s, gt=True)
            await pipe.execute()

    async def _forget(self, mark: str) -> None:
        names = await self._client.zrange(mark, 0, -1)
        await self._client.unlink(mark, *names)

    def _soon(self, write: Write) -> None:
        try:
            self._queue.put_nowait(write)
        except asyncio.QueueFull:
            _log.warning("the shared answers fall behind: %d writes wait, and one was left out", MAX_QUEUED)

    def _rest(self, error: Exception) -> None:
        self._rests_until_s = self._clock() + REST_S
        _log.warning("the shared answers are left alone for %g s: %s", REST_S, type(error).__name__)

    def _name(self, digest: bytes) -> str:
        return f"{self._prefix}entry:{digest.hex()}"

    def _tenant(self, tenant: str) -> str:
        return f"{self._prefix}tenant:{blake2b(tenant.encode(), digest_size=16).hexdigest()}"

    def _document(self, document: str) -> str:
        return f"{self._prefix}document:{document}"


@asynccontextmanager
async def open_shared_answers(url: str, namespace: str) -> AsyncIterator[SharedAnswers]:
    """The entries under the namespace. Connects when first used; on leaving, a second is given to what was put off."""
    client = redis.from_url(url, socket_timeout=LAST_WORDS_S, socket_connect_timeout=LAST_WORDS_S)
    shared = SharedAnswers(client, namespace)
    writer = asyncio.create_task(shared.write(), name="shared answers")
    try:
        yield shared
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await shared.written()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await client.aclose()


def _checksum(digest: bytes, data: bytes) -> bytes:
    return blake2b(digest + data, digest_size=_CHECKSUM_BYTES).digest()


def _checked(data: bytes, key: CacheKey) -> Entry | None:
    """The entry that the bytes are. Raises ValueError."""
    checksum, data = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if checksum != _checksum(key.digest, data):
        raise ValueError("its checksum is another")
    entry = decoded(data)
    return entry if entry.key == key else None
