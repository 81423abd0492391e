"""Killed at every point of an update, and at every point of building the index anew."""

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from ingest.draft import Draft
from rag.index.rebuild import adoption, discard_previous
from tests.indexing import all_records, an_indexer, content, run
from tests.ingest.dying import AFTER, BEFORE, NEW, OLD, following, opened, reindex, seen

MEMORY_DISK = Path("/dev/shm")  # each index is a hundred fsyncs
POINTS = 14
REINDEX_POINTS = 14
MORE = [Draft(uri="doc:d", text="The mat."), Draft(uri="doc:e", text="A cat.")]
NEVER = 10**9
STEPS = ("none", "previous noted", "manifest replaced")


@pytest.fixture
def index() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        yield Path(folder, "index")


@pytest.fixture(scope="module")
def scene() -> Iterator[Path]:
    """The index before an update, after it, and what is left of it by processes that were killed at each point."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        scene = Path(folder)
        asyncio.run(_filled(scene / "before", BEFORE))
        shutil.copytree(scene / "before", scene / "after")
        asyncio.run(_filled(scene / "after", AFTER))
        (scene / "endings").write_text(_died("update", scene))
        yield scene


@pytest.fixture(scope="module")
def rebuilding() -> Iterator[Path]:
    """The same for building the index anew; what it comes to undisturbed is in the last folder."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        scene = Path(folder)
        asyncio.run(_filled(scene / "before", [*BEFORE, *MORE]))
        (scene / "endings").write_text(_died("reindex", scene))
        yield scene


def _died(work: str, scene: Path) -> str:
    command = [sys.executable, "-m", "tests.ingest.dying", work, str(scene / "before"), str(scene)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout


async def _filled(folder: Path, drafts: list[Draft]) -> dict[str, object]:
    store = await opened(folder)
    await run(an_indexer(store), drafts)
    held = await content(store)
    await store.close()
    return held


def test_the_update_was_killed_at_every_point_and_nobody_saw_a_mixture(scene: Path) -> None:
    endings = [line.rpartition(" ")[::2] for line in (scene / "endings").read_text().splitlines()]
    assert [int(code) for _, code in endings] == [-signal.SIGKILL] * POINTS + [0]
    assert {name.partition(" ")[0] for name, _ in endings[:-1]} == {"before", "after"}


@pytest.mark.parametrize("point", range(POINTS))
async def test_killed_at_any_point_one_version_stands_and_the_next_run_ends_as_if_undisturbed(
    scene: Path, point: int
) -> None:
    await _require_one_version(scene / str(point))
    assert await _filled(scene / str(point), AFTER) == await _filled(scene / "after", [])


async def _require_one_version(folder: Path) -> None:
    store = await opened(folder)
    versions, text = await seen(store, "doc:a")
    assert (len(versions), text in (OLD, NEW)) == (1, True)
    records = await all_records(store)
    by_id = {record.id: record for record in records.values()}
    assert {"doc:a", "doc:b", "doc:c"} <= set(records)
    for record in records.values():
        holder = by_id[record.duplicate_of] if record.duplicate_of else record
        versions, text = await seen(store, holder.uri)
        assert (versions, len(text)) == ({holder.version}, holder.n_chars)
    await store.close()


def test_building_anew_was_killed_at_every_point_and_nobody_saw_a_mixture(rebuilding: Path) -> None:
    endings = [line.rpartition(" ")[::2] for line in (rebuilding / "endings").read_text().splitlines()]
    assert [int(code) for _, code in endings] == [-signal.SIGKILL] * REINDEX_POINTS + [0]
    assert {"after next opened", "before the step", "after manifest replaced"} < {name for name, _ in endings}


@pytest.mark.parametrize("point", range(REINDEX_POINTS))
async def test_killed_at_any_point_of_building_anew_one_index_is_whole_and_the_next_run_ends_as_if_undisturbed(
    rebuilding: Path, point: int
) -> None:
    await _require_one_version(rebuilding / str(point))
    await reindex(rebuilding / str(point), NEVER)
    assert await _filled(rebuilding / str(point), []) == await _filled(rebuilding / str(REINDEX_POINTS), [])


@pytest.mark.parametrize("n_done", range(len(STEPS)), ids=STEPS)
async def test_killed_on_the_way_to_a_new_index_one_of_both_is_in_use(index: Path, n_done: int) -> None:
    await _filled(index, [Draft(uri="doc:a", text=OLD)])
    await _grown(index, [Draft(uri="doc:a", text=NEW)])
    done = ["none", *islice(adoption(index), n_done)]
    assert tuple(done) == STEPS[: n_done + 1]
    assert await _in_use(index) == (NEW if "manifest replaced" in done else OLD)
    await _grown(index, [Draft(uri="doc:b", text=NEW)])
    for _ in adoption(index):
        pass
    store = await opened(index)
    assert "doc:b" in await all_records(store), "another rebuild is not in the way of the one that died"
    await store.close()
    discard_previous(index)
    assert len(_shards(index)) == 1


async def test_the_index_before_is_the_next_one_when_it_is_wanted_again(index: Path) -> None:
    await _filled(index, [Draft(uri="doc:a", text=OLD)])
    for text in (NEW, NEW + " Once more."):
        await _grown(index, [Draft(uri="doc:a", text=text)])
        for _ in adoption(index):
            pass
    assert await _in_use(index) == NEW + " Once more."
    store = await following(index)
    versions, text = await seen(store, "doc:a")
    await store.close()
    assert (len(versions), text) == (1, NEW)


async def _grown(index: Path, drafts: list[Draft]) -> None:
    store = await following(index)
    await run(an_indexer(store), drafts)
    await store.close()


async def _in_use(index: Path) -> str:
    store = await opened(index)
    versions, text = await seen(store, "doc:a")
    await store.close()
    assert len(versions) == 1
    return text


def _shards(index: Path) -> list[Path]:
    return [entry for entry in index.iterdir() if entry.is_dir()]
