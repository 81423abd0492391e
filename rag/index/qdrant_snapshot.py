"""The collection in use on a Qdrant server as one file, by the server's own snapshots, and back into a collection.

A snapshot holds what one node has, so servers of several nodes are refused.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from rag.base.errors import ConfigError, Conflict
from rag.index.config import QdrantConfig
from rag.index.qdrant import connected
from rag.index.qdrant_calls import Calls, status_failure, transport_failure
from rag.index.qdrant_collections import Collections

TIMEOUT_S: Final = 3600.0
"""For making, sending or reading a snapshot, each."""


async def save_snapshot(config: QdrantConfig, file: Path) -> bool:
    """Writes what the collection in use holds into the file; whether there is one. The server keeps nothing of it.

    Raises ConfigError for a server of several nodes, Unavailable, BadDependency, and OSError.
    """
    async with _collections(config) as collections, _http(config) as http:
        used = await collections.in_use()
        if used is None:
            return False
        await _require_one_node(http)
        place = f"/collections/{used}/snapshots"
        name = (await _asked(http, "POST", place))["name"]
        try:
            await _download(http, f"{place}/{name}", file)
        finally:
            await _asked(http, "DELETE", f"{place}/{name}")
        return True


async def load_snapshot(config: QdrantConfig, file: Path, *, force: bool) -> None:
    """Puts the file into a collection of its own and then, in one step, into use.

    The one that was in use is kept as `rag reindex` keeps it. Raises Conflict when there is one, unless `force` says
    that another may take its place, and as `save_snapshot` does.
    """
    async with _collections(config) as collections, _http(config) as http:
        if (used := await collections.in_use()) and not force:
            raise Conflict(f"the Qdrant server has '{used}' in use; --force puts another collection in its place")
        await _require_one_node(http)
        name = await collections.unused()
        with file.open("rb") as raw:
            place, files = f"/collections/{name}/snapshots/upload", {"snapshot": (file.name, raw)}
            await _asked(http, "POST", place, params={"priority": "snapshot", "wait": "true"}, files=files)
        if await collections.manifest(name) is None:
            await collections.drop(name)
            raise Conflict("the snapshot is none of an index of Groundwire")
        await collections.adopt(name)


@asynccontextmanager
async def _collections(config: QdrantConfig) -> AsyncIterator[Collections]:
    client = connected(config)
    try:
        yield Collections(client, config, Calls(config.timeout_s))
    finally:
        await client.close()


@asynccontextmanager
async def _http(config: QdrantConfig) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"api-key": config.api_key.reveal()} if config.api_key else {}
    async with httpx.AsyncClient(base_url=config.url, headers=headers, timeout=TIMEOUT_S) as http:
        yield http


async def _require_one_node(http: httpx.AsyncClient) -> None:
    told = await _asked(http, "GET", "/cluster")
    if len(told.get("peers", ())) > 1:
        raise ConfigError("a snapshot holds what one node has, and this Qdrant server has several: see docs/deploy.md")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise status_failure(error.response.status_code) from error
    except httpx.TransportError as error:
        raise transport_failure(error) from error


async def _asked(http: httpx.AsyncClient, method: str, path: str, **request: Any) -> Any:
    with _translated():
        reply = await http.request(method, path, **request)
        reply.raise_for_status()
        return reply.json()["result"]


async def _download(http: httpx.AsyncClient, path: str, file: Path) -> None:
    with _translated(), os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        async with http.stream("GET", path) as reply:
            reply.raise_for_status()
            async for piece in reply.aiter_bytes():
                target.write(piece)
