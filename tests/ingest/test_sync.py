import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.config import IngestConfig
from ingest.library import Library
from ingest.local import LocalIndex
from ingest.memory import Known, Reading, SourceMemory
from ingest.outcome import Report
from ingest.parse.pool import ParserPool
from ingest.read import SourceReader
from ingest.sources import find, scope_of
from ingest.sync import Synchroniser, Walk, documents_missing, recipe_of
from rag.base.errors import InvalidInput, Unavailable
from rag.base.ids import document_id
from rag.base.ports import IndexedDocument
from rag.index.embedders.config import OnnxEmbedderConfig
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, an_indexer

CONFIG = IngestConfig(n_parsers=1)


class Desk:
    """A folder of files that are old enough for their times to prove something, an index and a memory."""

    def __init__(self, folder: Path, memory: SourceMemory, pool: ParserPool, store: MemoryStore) -> None:
        self.folder = folder
        self.memory = memory
        self.pool = pool
        self.store = store
        self.embedder = HashingEmbedder()
        self.n_read = 0

    def write(self, name: str, text: str, at_s: float = 1e9) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (at_s, at_s))
        return file

    async def sync(self, *, recipe: str = "r", delete_missing: bool = False, read_all: bool = False) -> Report:
        walk, report = Walk(), Report()
        synchroniser = self.synchroniser(recipe)
        found = [aged(each) for each in find([str(self.folder)], BytesIO())]
        report, walk = await synchroniser.run(found, SourceReader(self.pool, CONFIG), read_all=read_all)
        self.n_read = walk.n_found if read_all else report.n_documents - walk.n_unchanged
        if delete_missing:
            report.deleted = await synchroniser.delete_missing([scope_of(str(self.folder))], walk)
        return report

    def synchroniser(self, recipe: str = "r") -> Synchroniser:
        indexer = an_indexer(self.store, self.embedder)
        return Synchroniser(LocalIndex(Library(indexer, self.store), TENANT, done), self.memory, TENANT, recipe)

    async def names(self) -> list[str]:
        return sorted(uri.rpartition("/")[2] for uri in await all_records(self.store))


async def done() -> bool:
    return True


def aged(source):
    """As it would be found two seconds later: the time of a change of the inode cannot be set."""
    size, modified = getattr(source, "size_bytes", 0), getattr(source, "modified_at", None)
    return (
        source
        if modified is None
        else type(source)(
            uri=source.uri, path=source.path, size_bytes=size, modified_at=modified, stamp=f"{size}-{modified}"
        )
    )


@pytest.fixture
async def desk(tmp_path: Path):
    with SourceMemory(tmp_path / "sources.sqlite") as memory:
        async with ParserPool(CONFIG) as pool:
            yield Desk(tmp_path / "docs", memory, pool, MemoryStore())


async def test_what_has_not_changed_is_not_read(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    desk.write("b.txt", "mat")
    assert (await desk.sync()).added == 2
    again = await desk.sync()
    assert (again.unchanged, desk.n_read, desk.embedder.n_embedded) == (2, 0, 2)
    desk.write("a.txt", "a cat sat", at_s=2e9)
    changed = await desk.sync()
    assert (changed.updated, changed.unchanged, desk.n_read) == (1, 1, 1)


async def test_what_was_only_touched_is_read_once_and_not_indexed(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    await desk.sync()
    desk.write("a.txt", "cat", at_s=2e9)
    assert ((await desk.sync()).unchanged, desk.n_read) == (1, 1)
    assert ((await desk.sync()).unchanged, desk.n_read) == (1, 0)
    assert desk.embedder.n_embedded == 1


async def test_what_the_index_lost_or_holds_otherwise_is_read_again(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    desk.write("b.txt", "mat")
    await desk.sync()
    record = (await all_records(desk.store))[(desk.folder / "a.txt").as_uri()]
    await an_indexer(desk.store).remove(record)
    report = await desk.sync()
    assert (report.added, report.unchanged, desk.n_read) == (1, 1, 1)


async def test_another_recipe_reads_everything(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    await desk.sync()
    await desk.sync(recipe="other")
    assert desk.n_read == 1


@pytest.mark.parametrize("delete_missing", [False, True])
async def test_files_and_lines_that_are_gone_go_only_when_asked(desk: Desk, delete_missing: bool) -> None:
    desk.write("a.txt", "cat")
    desk.write("sub/b.txt", "mat")
    desk.write("c.jsonl", '{"uri": "u:1", "text": "sat"}\n{"uri": "u:2", "text": "on"}\n')
    await desk.sync()
    (desk.folder / "sub" / "b.txt").unlink()
    desk.write("c.jsonl", '{"uri": "u:1", "text": "sat"}\n', at_s=2e9)
    report = await desk.sync(delete_missing=delete_missing)
    assert report.deleted == (2 if delete_missing else 0)
    assert await desk.names() == (["a.txt", "u:1"] if delete_missing else ["a.txt", "b.txt", "u:1", "u:2"])
    # A run that does not delete leaves that for one that does, although nothing has changed in between.
    assert (await desk.sync(delete_missing=True)).deleted == (0 if delete_missing else 2)
    assert await desk.names() == ["a.txt", "u:1"]


async def test_a_file_that_became_empty_holds_its_documents_no_more(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    desk.write("c.jsonl", '{"uri": "u:1", "text": "sat"}\n')
    await desk.sync()
    desk.write("c.jsonl", "", at_s=2e9)
    assert (await desk.sync(delete_missing=True)).deleted == 1


async def test_a_document_that_fails_is_not_missing(desk: Desk) -> None:
    desk.write("c.jsonl", '{"uri": "u:1", "text": "sat"}\n{"uri": "u:2", "text": "on"}\n')
    await desk.sync()
    desk.write("c.jsonl", '{"uri": "u:1", "text": "sat"}\n{"uri": "u:2", \n', at_s=2e9)
    report = await desk.sync(delete_missing=True)
    assert (report.failed, report.deleted) == (1, 0)
    assert ((await desk.sync()).failed, desk.n_read) == (1, 2), "what failed is read again"


async def test_nothing_is_deleted_when_all_of_a_folder_is_gone(desk: Desk) -> None:
    file = desk.write("a.txt", "cat")
    await desk.sync()
    file.unlink()
    with pytest.raises(InvalidInput, match="nothing was deleted"):
        await desk.sync(delete_missing=True)
    file.parent.rmdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        await desk.sync(delete_missing=True)
    assert await desk.names() == ["a.txt"]


async def test_other_folders_are_left_alone(desk: Desk) -> None:
    for name in ("a/x.txt", "a/y.txt", "a!/x.txt", "ab/x.txt", "a0.txt"):
        desk.write(name, name)
    await desk.sync()
    for name in ("a/y.txt", "a!/x.txt", "ab/x.txt", "a0.txt"):
        (desk.folder / name).unlink()
    changes = await desk.synchroniser().compare([], [scope_of(str(desk.folder / "a"))])
    assert changes.delete == [document_id(TENANT, (desk.folder / "a" / "y.txt").as_uri())]


async def test_a_comparison_changes_nothing(desk: Desk) -> None:
    desk.write("a.txt", "cat")
    desk.write("b.txt", "mat")
    await desk.sync()
    (desk.folder / "a.txt").unlink()
    desk.write("c.txt", "sat")
    found = [aged(each) for each in find([str(desk.folder)], BytesIO())]
    changes = await desk.synchroniser().compare(found, [scope_of(str(desk.folder))])
    assert [uri.rpartition("/")[2] for uri in changes.read] == ["c.txt"]
    assert (changes.unchanged, len(changes.delete)) == (1, 1)
    assert await desk.names() == ["a.txt", "b.txt"]


async def test_a_run_that_ended_early_is_not_taken_for_a_whole_one(desk: Desk) -> None:
    lines = "".join(f'{{"uri": "u:{at}", "text": "cat {at}"}}\n' for at in range(40))
    desk.write("c.jsonl", lines)

    class Failing(MemoryStore):
        n_puts = 0

        async def put(self, documents: Sequence[IndexedDocument]) -> None:
            self.n_puts += 1
            if self.n_puts == 3:
                raise Unavailable("down")
            await super().put(documents)

    desk.store = Failing()
    with pytest.raises(Unavailable):
        await desk.sync()
    report = await desk.sync()
    assert report.added + report.unchanged == 40
    assert len(await desk.names()) == 40


async def test_a_deleted_source_leaves_nothing(desk: Desk) -> None:
    desk.write("a/x.txt", "cat")
    desk.write("a/y.txt", "cat")
    desk.write("b.txt", "cat")
    await desk.sync()
    synchroniser = desk.synchroniser()
    documents = synchroniser.documents_below(scope_of(str(desk.folder / "a")))
    assert (await synchroniser.delete(documents), await synchroniser.count(documents)) == (2, 0)
    assert await desk.names() == ["b.txt"]
    assert len(await desk.store.passages((await access()), document_id(TENANT, (desk.folder / "b.txt").as_uri()))) == 1


async def access():
    from rag.govern.access import managed_in

    return managed_in(TENANT)


@given(st.lists(st.text("ab", min_size=1), unique=True), st.lists(st.text("cd", min_size=1), unique=True))
def test_of_a_source_that_is_there_only_dropped_documents_are_missing(present: list[str], dropped: list[str]) -> None:
    known = Known(uri="file:///a", present=present, dropped=dropped)
    assert documents_missing(known, found=True) == dropped
    assert sorted(documents_missing(known, found=False)) == sorted(present + dropped)


def test_the_recipe_covers_what_decides_the_documents() -> None:
    def of(acl=("everyone",), metadata=None, embedder=None, **config):
        return recipe_of(IngestConfig(**config), embedder or OnnxEmbedderConfig(), acl, metadata or {})

    recipes = [of(), of(acl=("group:hr",)), of(metadata={"a": 1}), of(chunk_tokens=64), of(embed_headings=False)]
    assert len(set(recipes)) == len(recipes)
    assert of() == of(n_parsers=7)


def test_a_memory_outlives_its_process_and_keeps_tenants_apart(tmp_path: Path) -> None:
    reading = Reading(uri="file:///a", stamp="1", documents={"d" * 32: "v"})
    with SourceMemory(tmp_path / "sources.sqlite") as memory:
        memory.note("acme", [reading])
    with SourceMemory(tmp_path / "sources.sqlite") as memory:
        assert memory.readings("acme", ["file:///a", "file:///b"]) == {"file:///a": reading}
        assert memory.readings("other", ["file:///a"]) == {}
        assert list(memory.below("other", "file:///")) == []


async def test_what_fails_waits_until_it_is_indexed_or_gone(desk: Desk) -> None:
    desk.write("good.txt", "cat")
    broken, gone = desk.write("a.pdf", "no pdf"), desk.write("b.pdf", "no pdf")
    for _ in range(2):
        await desk.sync()
    letters = desk.memory.dead_letters(TENANT)
    assert [(letter.uri, letter.attempts, letter.transient) for letter in letters] == [
        (broken.as_uri(), 2, False),
        (gone.as_uri(), 2, False),
    ]
    assert all(letter.reason and letter.options.acl == ("everyone",) for letter in letters)
    assert desk.memory.dead_letters("other") == []
    gone.unlink()
    broken.rename(desk.folder / "c.txt")
    desk.write("a.pdf", "%PDF-1.4 broken still")
    await desk.sync(delete_missing=True)
    assert [letter.uri for letter in desk.memory.dead_letters(TENANT)] == [broken.as_uri()]
    desk.memory.succeed(TENANT, broken.as_uri())
    assert desk.memory.dead_letters(TENANT) == []
