"""Restores that are killed, archives that are damaged, and folders that are not empty."""

import io
import tarfile
from itertools import count
from pathlib import Path

import msgspec
import pytest

from rag.backup.archive import CONTENTS
from rag.backup.restoring import DRAFT, READY, complete, completion, make_ready, prepare, restore
from rag.backup.taking import Backups
from rag.base.errors import Conflict, InvalidInput
from rag.cli.options import RESTORED
from rag.settings import Settings
from tests.backup.conftest import filled, said, still

ALL_NEW = dict.fromkeys(("index", "models", "records.db", "ledger.sqlite", "sources.sqlite"), "new")
MIN_POINTS = 12


@pytest.fixture
async def archive(tmp_path: Path) -> Path:
    folder = filled(tmp_path / "new", "new")
    return folder / (await Backups(Settings(data_dir=folder), still).take()).file


async def test_a_restored_folder_says_what_the_other_did_and_has_no_answers(archive, tmp_path):
    await restore(archive, Settings(data_dir=tmp_path / "empty"), force=False)
    assert said(tmp_path / "empty") == ALL_NEW
    assert sorted(each.name for each in (tmp_path / "empty").iterdir()) == sorted([*ALL_NEW])


async def test_what_is_there_goes_only_by_force_and_other_files_stay(archive, data_dir):
    (data_dir / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="holds something already"):
        await restore(archive, Settings(data_dir=data_dir), force=False)
    assert set(said(data_dir).values()) == {"old"}
    await restore(archive, Settings(data_dir=data_dir), force=True)
    assert said(data_dir) == ALL_NEW
    assert (data_dir / "notes.txt").read_text() == "mine"


async def test_what_stands_elsewhere_behind_a_link_stays_and_the_link_goes(archive, data_dir, tmp_path):
    (data_dir / "index").rename(tmp_path / "other-disk")
    (data_dir / "index").symlink_to(tmp_path / "other-disk")
    await restore(archive, Settings(data_dir=data_dir), force=True)
    assert said(data_dir) == ALL_NEW
    assert (tmp_path / "other-disk" / "shard" / "segments" / "points").read_text() == "old"


async def test_killed_after_any_step_the_next_command_puts_the_rest_into_its_place(archive, tmp_path):
    for n_done in count():
        folder = filled(tmp_path / f"at{n_done}", "old")
        (folder / "records.db-wal").write_bytes(b"of the old database")
        prepare(archive, folder)
        make_ready(folder)
        steps = completion(folder)
        done = [step for step, _ in zip(steps, range(n_done), strict=False)]
        steps.close()
        complete(folder)
        assert said(folder) == ALL_NEW, done
        assert not (folder / READY).exists()
        if len(done) < n_done:
            break
    assert len(done) >= MIN_POINTS


def test_every_command_looks_for_the_folder_that_waits():
    assert RESTORED == READY


async def test_killed_while_it_unpacks_nothing_has_changed(archive, data_dir):
    (data_dir / DRAFT).mkdir()
    (data_dir / DRAFT / "records.db").write_bytes(b"half")
    complete(data_dir)
    assert set(said(data_dir).values()) == {"old"}
    await restore(archive, Settings(data_dir=data_dir), force=True)
    assert said(data_dir) == ALL_NEW


async def test_cut_off_anywhere_it_is_refused_and_nothing_has_changed(archive, data_dir, tmp_path):
    whole, cut = archive.read_bytes(), tmp_path / "cut.tar"
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1]
    for n_bytes in (0, 700, last.offset // 2, last.offset, last.offset_data + 10):
        cut.write_bytes(whole[:n_bytes])
        with pytest.raises(InvalidInput):
            await restore(cut, Settings(data_dir=data_dir), force=True)
    assert set(said(data_dir).values()) == {"old"}
    assert not (data_dir / DRAFT).exists()


async def test_a_changed_byte_is_found(archive, data_dir):
    changed = archive.read_bytes().replace(b"new", b"odd", 1)
    archive.write_bytes(changed)
    with pytest.raises(InvalidInput, match="1 files are not what was written, the first is index/shard"):
        await restore(archive, Settings(data_dir=data_dir), force=True)


@pytest.mark.parametrize("name", ["../out", "/etc/out", "index/../../out", "server.json", "rag.toml"])
async def test_no_archive_writes_elsewhere(data_dir, tmp_path, name):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(InvalidInput, match="is no backup"):
        await restore(archive, Settings(data_dir=data_dir), force=True)
    assert not (tmp_path / "out").exists()


async def test_links_and_other_versions_are_refused(data_dir, tmp_path):
    archive = tmp_path / "link.tar"
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("index")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    with pytest.raises(InvalidInput, match="is not a file"):
        await restore(archive, Settings(data_dir=data_dir), force=True)
    with tarfile.open(archive, "w") as tar:
        told = msgspec.json.encode({"schema": 9, "version": "9", "made_at": "2030-01-01T00:00:00Z", "files": {}})
        member = tarfile.TarInfo(CONTENTS)
        member.size = len(told)
        tar.addfile(member, io.BytesIO(told))
    with pytest.raises(InvalidInput, match="made by Groundwire 9"):
        await restore(archive, Settings(data_dir=data_dir), force=True)
