"""The collection in use as a file, and back. The snapshots are those of the stand-in, which only it can read."""

import json
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from rag.backup.restoring import restore
from rag.backup.taking import Backups
from rag.base.errors import BadDependency, ConfigError, Conflict, Unavailable
from rag.base.folders import private_folder
from rag.settings import Settings
from tests.backup.conftest import still
from tests.fakes import HashingEmbedder
from tests.index.test_qdrant_rebuild import Quick, collections, config, filled, opened
from tests.indexing import content
from tests.qdrant_server import serving

pytestmark = pytest.mark.sockets


def settings(folder: Path, url: str) -> Settings:
    return Settings(data_dir=folder, index=config(url))


async def backup(folder: Path, url: str) -> Path:
    private_folder(folder)
    return folder / (await Backups(settings(folder, url), still).take()).file


async def test_a_backup_is_put_onto_another_server(tmp_path: Path) -> None:
    async with serving() as url:
        store = await filled(url)
        before = await content(store)
        file = await backup(tmp_path / "a", url)
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/collections/groundwire/snapshots/groundwire.1-0.snapshot")).status_code == 404
        await store.close()
    async with serving() as url:
        contents = await restore(file, settings(tmp_path / "b", url), force=False)
        assert list(contents.files) == ["collection.snapshot"]
        assert list((tmp_path / "b").iterdir()) == []
        store = await opened(url, HashingEmbedder())
        assert await content(store) == before
        await store.close()


async def test_what_is_in_use_goes_only_by_force_and_in_one_step(tmp_path: Path) -> None:
    async with serving() as url:
        store = await filled(url)
        file = await backup(tmp_path / "a", url)
        with pytest.raises(Conflict, match=r"'groundwire\.1' in use"):
            await restore(file, settings(tmp_path / "b", url), force=False)
        assert await collections(url) == ["groundwire.1"]
        await restore(file, settings(tmp_path / "b", url), force=True)
        assert await collections(url) == ["groundwire.1", "groundwire.2"]
        with pytest.raises(Unavailable, match="built anew elsewhere"):
            await store._require_in_use()
        await Quick(config(url)).discard_previous()
        assert await collections(url) == ["groundwire.2"]
        await store.close()


async def test_a_server_that_fails_leaves_no_backup_and_no_collection_in_use(tmp_path: Path) -> None:
    broken: set[str] = set()

    async def fault(request: web.Request) -> web.Response | None:
        return web.Response(status=500) if any(part in request.path for part in broken) else None

    async with serving(fault=fault) as url:
        await (await filled(url)).close()
        file = await backup(tmp_path / "a", url)
        broken.add("/snapshots/groundwire")
        with pytest.raises(BadDependency):
            await backup(tmp_path / "a2", url)
        assert list((tmp_path / "a2" / "backups").iterdir()) == []
        broken.add("/snapshots/upload")
        with pytest.raises(BadDependency):
            await restore(file, settings(tmp_path / "b", url), force=True)
        assert list((tmp_path / "b").iterdir()) == []
        assert await collections(url) == ["groundwire.1"]


async def test_several_nodes_and_another_kind_of_index_are_refused(tmp_path: Path) -> None:
    async def fault(request: web.Request) -> web.Response | None:
        told = {"result": {"status": "enabled", "peers": {"1": {}, "2": {}}}, "status": "ok", "time": 0}
        return web.Response(text=json.dumps(told)) if clustered and request.path == "/cluster" else None

    clustered = False
    async with serving(fault=fault) as url:
        await (await filled(url)).close()
        file = await backup(tmp_path / "a", url)
        clustered = True
        with pytest.raises(ConfigError, match="several"):
            await backup(tmp_path / "a2", url)
    with pytest.raises(ConfigError, match=r"index\.kind = 'qdrant'"):
        await restore(file, Settings(data_dir=tmp_path / "b"), force=False)
    assert list((tmp_path / "b").iterdir()) == []
