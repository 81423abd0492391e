"""What a backup holds, and that nobody writes to the index while it is copied."""

import asyncio
import stat
import tarfile
from contextlib import asynccontextmanager, closing

import pytest

from ingest.draft import Draft
from ingest.library import Library
from rag.backup.restoring import restore
from rag.backup.taking import Backups
from rag.base.errors import Conflict, Unavailable
from rag.base.sqlite import open_sqlite
from rag.govern.access import managed_in
from rag.index.factory import INDEX
from rag.settings import Settings
from tests.backup.conftest import said, still
from tests.indexing import TENANT, all_records, an_indexer, content, work
from tests.ingest.dying import opened

ALL = managed_in(TENANT)


async def test_a_backup_holds_every_part_and_leaves_out_answers_tokens_and_indexes_that_are_not_in_use(data_dir):
    (data_dir / "server.json").write_text("a token")
    (data_dir / "index" / "shard-next").mkdir()
    (data_dir / "index" / "shard-next" / "points").write_text("half")
    taken = await Backups(Settings(data_dir=data_dir), still).take()
    file = data_dir / taken.file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert names[-1] == "backup.json"
    assert sorted(names[:-1]) == [
        "index/manifest.json",
        "index/shard/segments/points",
        "ledger.sqlite",
        "models/m/card.json",
        "records.db",
        "sources.sqlite",
    ]
    assert taken.files == len(names) - 1


async def test_a_database_is_copied_with_what_its_log_holds_while_another_writes_to_it(data_dir, tmp_path):
    with closing(open_sqlite(data_dir / "records.db", 1)) as writer:
        writer.execute("UPDATE said SET word = 'newer'")
        assert (data_dir / "records.db-wal").stat().st_size > 0
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE said SET word = 'never'")
        taken = await Backups(Settings(data_dir=data_dir), still).take()
        writer.execute("ROLLBACK")
    await restore(data_dir / taken.file, Settings(data_dir=tmp_path / "other"), force=False)
    assert said(tmp_path / "other")["records.db"] == "newer"


async def test_one_that_nobody_fetched_makes_room_for_the_next_and_two_at_once_are_refused(data_dir):
    inside, leave = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def held():
        inside.set()
        await leave.wait()
        yield

    backups = Backups(Settings(data_dir=data_dir), held)
    first = asyncio.create_task(backups.take())
    await inside.wait()
    with pytest.raises(Conflict):
        await backups.take()
    leave.set()
    taken = await first
    assert (data_dir / taken.file).exists()
    again = await backups.take()
    assert [each.name for each in (data_dir / "backups").iterdir()] == [(data_dir / again.file).name]


async def test_what_cannot_be_read_fails_and_leaves_nothing_behind(data_dir):
    (data_dir / "ledger.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match="could not be written"):
        await Backups(Settings(data_dir=data_dir), still).take()
    assert list((data_dir / "backups").iterdir()) == []


async def test_taken_again_and_again_while_documents_are_replaced_each_is_an_index_of_one_moment(tmp_path):
    """The store is Qdrant Edge, and the copy that of a folder whose files are mapped into memory."""
    data_dir = tmp_path / "data"
    store = await opened(data_dir / INDEX)
    library = Library(an_indexer(store), store)
    backups = Backups(Settings(data_dir=data_dir), library.still)
    done = asyncio.Event()

    async def write(uri: str) -> None:
        number = 0
        while not done.is_set():
            number += 1
            text = "".join(f"The cat {number} of {uri} sat on mat {at}. " for at in range(12))
            await library.put(ALL, Draft(uri=uri, text=text), work())

    writers = [asyncio.create_task(write(f"doc:{name}")) for name in "abc"]
    await asyncio.sleep(0)
    for number in range(2):
        taken = await backups.take()
        await restore(data_dir / taken.file, Settings(data_dir=tmp_path / f"copy{number}"), force=False)
    done.set()
    await asyncio.gather(*writers)
    await store.close()
    versions = [await _one_version_each(tmp_path / f"copy{number}" / INDEX) for number in range(2)]
    assert len({*versions}) > 1, "something was written in between"


async def _one_version_each(index) -> tuple[str, ...]:
    copy = await opened(index)
    try:
        records = await all_records(copy)
        held = await content(copy)
        assert held
        for record in records.values():
            found = await copy.passages(ALL, record.id)
            assert len(found) == record.n_chunks
            assert {passage.version for passage, _ in found} == {record.version}
        return tuple(sorted(record.version for record in records.values()))
    finally:
        await copy.close()
