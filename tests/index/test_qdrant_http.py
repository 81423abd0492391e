"""Our Qdrant store over HTTP, before a stand-in: keys, slowness, failures, and two processes on one collection."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from rag.base.errors import BadDependency, DeadlineExceeded, Unavailable
from rag.base.secret import Secret
from rag.govern.access import managed_in
from rag.index.config import FusionConfig, QdrantConfig
from rag.index.qdrant import QdrantStore
from tests.building import DIMENSION, EMBEDDER, FIELDS, document
from tests.qdrant_server import serving
from tests.servers import qdrant_server

pytestmark = pytest.mark.sockets

ALL = managed_in("acme")
ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import asyncio, sys
from tests.index.test_qdrant_http import opened
from tests.building import document

async def main(url, name):
    store = await opened(url)
    for number in range(20):
        await store.put([await document(f"{name}-{number}.txt", [f"{name} says {number}", "and more"])])
        await store.put([await document("shared.txt", ["the same words"])])
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def opened(url: str, **settings: object) -> QdrantStore:
    config = QdrantConfig(url=url, prefer_grpc=False, **settings)  # type: ignore[arg-type]
    return await QdrantStore.open(
        config, fusion=FusionConfig(), fields=FIELDS, embedder_name=EMBEDDER.name, dimension=DIMENSION
    )


class Faults:
    """Answers the next requests with those statuses, and counts all of them."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.n_requests = 0
        self.slow = False

    async def __call__(self, request: web.Request) -> web.Response | None:
        self.n_requests += 1
        if self.slow:
            await asyncio.Event().wait()
        return web.Response(status=self.statuses.pop(0), text="secret words") if self.statuses else None


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")  # as between services of one stack
async def test_a_key_opens_the_server_and_without_it_access_is_refused() -> None:
    async with serving(api_key="sesame") as url:
        with pytest.raises(BadDependency, match="check its API key"):
            await opened(url)
        store = await opened(url, api_key=Secret("sesame"))
        assert await store.count(ALL) == 0
        await store.close()


async def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    faults = Faults()
    async with serving(fault=faults) as url:
        store = await opened(url)
        faults.statuses = [503, 429]
        await store.put([await document("a.txt", ["some words"])])
        assert await store.count(ALL) == 1
        faults.statuses, faults.n_requests = [503, 503, 503, 503], 0
        with pytest.raises(Unavailable):
            await store.count(ALL)
        assert faults.n_requests == 3
        await store.close()


async def test_an_error_of_the_server_is_not_asked_for_again_and_not_repeated_to_callers() -> None:
    faults = Faults()
    async with serving(fault=faults) as url:
        store = await opened(url)
        faults.statuses, faults.n_requests = [500], 0
        with pytest.raises(BadDependency) as caught:
            await store.count(ALL)
        assert faults.n_requests == 1
        assert "secret" not in str(caught.value)
        await store.close()


async def test_a_server_that_does_not_answer_costs_a_deadline() -> None:
    faults = Faults()
    async with serving(fault=faults) as url:
        store = await opened(url, timeout_s=0.2)
        faults.slow = True
        with pytest.raises(DeadlineExceeded):
            await store.count(ALL)
        faults.slow = False
        await store.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with serving() as url:
        pass
    with pytest.raises(Unavailable):
        await opened(url)


@pytest.mark.timeout(120)
def test_two_processes_write_to_one_collection() -> None:
    with qdrant_server() as url:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, name], env=environ, cwd=ROOT) for name in "ab"]
        assert [writer.wait(90) for writer in writers] == [0, 0]

        async def held() -> tuple[int, set[str], int]:
            store = await opened(url)
            page = await store.records(ALL, (), 100)
            shared = await document("shared.txt", ["the same words"])
            n_chunks = len(await store.passages(ALL, shared.record.id))
            await store.close()
            return page.total, {record.uri for record in page.records}, n_chunks

        n_documents, uris, n_chunks = asyncio.run(held())
    assert (n_documents, n_chunks) == (41, 1)
    assert uris == {"shared.txt", *(f"{name}-{number}.txt" for name in "ab" for number in range(20))}
