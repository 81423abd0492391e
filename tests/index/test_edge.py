"""What is particular to the embedded store: its folder, crashes, two processes, building with other settings."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from qdrant_edge import EdgeShard, UpdateOperation

from rag.base.errors import ConfigError, Unavailable
from rag.base.types import Match
from rag.govern.access import managed_in
from rag.index.bm25 import Bm25Encoder
from rag.index.config import Bm25Config, EdgeConfig, FieldType, FusionConfig
from rag.index.edge import EdgeStore
from rag.index.edge_words import counted
from rag.index.filters import Fields, parse_filters
from rag.index.frequencies import DocumentFrequencies
from rag.index.manifest import Manifest, write_manifest
from rag.index.wear import Wear
from tests.building import DIMENSION, EMBEDDER, document, question

ALL = managed_in("acme")


async def opened(path: Path, **changes: object) -> EdgeStore:
    options = {
        "config": EdgeConfig(),
        "fusion": FusionConfig(),
        "fields": Fields(),
        "embedder_name": EMBEDDER.name,
        "dimension": DIMENSION,
    }
    return await EdgeStore.open(path, **(options | changes))  # type: ignore[arg-type]  # options of several types


class TornShard:
    """A shard whose next updates of one kind fail, as on a full disk."""

    def __init__(self, shard: EdgeShard, fails: Sequence[bool]) -> None:
        self._shard = shard
        self._fails = list(fails)

    def update(self, operation: UpdateOperation) -> None:
        if self._fails and self._fails.pop(0):
            raise OSError("no space left on device")
        self._shard.update(operation)

    def __getattr__(self, name: str) -> object:
        return getattr(self._shard, name)


class HeldShard(TornShard):
    """A shard whose updates wait until they are let go on."""

    def __init__(self, shard: EdgeShard) -> None:
        super().__init__(shard, [])
        self.started = threading.Event()
        self.go_on = threading.Event()

    def update(self, operation: UpdateOperation) -> None:
        self.started.set()
        assert self.go_on.wait(30)
        super().update(operation)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def texts(store: EdgeStore) -> set[str]:
    (found,) = await store.search_batch([await question("words", ALL, limit=100)])
    assert isinstance(found, list)
    return {candidate.passage.chunk.text for candidate in found}


async def test_what_was_put_is_there_after_opening_again(tmp_path: Path) -> None:
    store = await opened(tmp_path / "a" / "b")
    put = await document("a.txt", ["some words", "more words"])
    await store.put([put])
    epoch = store.epoch
    await store.close()
    await store.close()
    with pytest.raises(Unavailable):
        await store.records(ALL, (), 1)
    store = await opened(tmp_path / "a" / "b")
    assert (await store.records(ALL, (), 10)).records == (put.record,)
    assert await texts(store) == {"some words", "more words"}
    assert store.epoch > epoch
    await store.close()


async def test_a_search_on_the_event_loop_finds_the_same_and_waits_for_a_write(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document(f"{n}.txt", [f"words number {n}"]) for n in range(9)])
    asked = [await question("words 3", ALL)]
    assert await store.search_batch(asked, here=True) == await store.search_batch(asked)
    async with store._gate.exclusive():
        waiting = asyncio.create_task(store.search_batch(asked, here=True))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    await store.close()


async def test_optimizing_changes_no_answer(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document(f"{n}.txt", [f"words number {n}", "and others"]) for n in range(40)])
    asked = [await question(f"words {n}", ALL) for n in range(5)]
    before = await store.search_batch(asked)
    await store.optimize()
    assert await store.search_batch(asked) == before
    await store.close()


async def test_a_second_process_is_told_what_to_do(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    with pytest.raises(ConfigError, match=r"in use by another process; stop that one, or send the documents"):
        await opened(tmp_path)
    await store.put([await document("a.txt", ["words"])])
    await store.close()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"embedder_name": "other@2"}, "embedder is 'hashing@1' and now 'other@2' is wanted"),
        ({"dimension": 7}, "dimension is 32"),
        ({"config": EdgeConfig(bm25=Bm25Config(average_words=9))}, "bm25 is"),
    ],
)
async def test_another_build_is_refused_and_the_remedy_named(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    await (await opened(tmp_path)).close()
    with pytest.raises(ConfigError, match="rag reindex") as caught:
        await opened(tmp_path, **changes)
    assert complaint in str(caught.value)
    await (await opened(tmp_path)).close()


async def test_an_unreadable_manifest_or_shard_is_named(tmp_path: Path) -> None:
    await (await opened(tmp_path)).close()
    manifest = (tmp_path / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(manifest[:20])
    with pytest.raises(ConfigError, match=r"manifest\.json cannot be read"):
        await opened(tmp_path)
    (tmp_path / "manifest.json").write_bytes(manifest)
    (tmp_path / "shard" / "edge_config.json").write_text("{")
    with pytest.raises(Unavailable, match="cannot be opened"):
        await opened(tmp_path)


async def test_a_full_disk_is_told_before_it_ends_the_process(tmp_path: Path) -> None:
    greedy = EdgeConfig(min_free_bytes=2**60)
    with pytest.raises(Unavailable, match="MiB are free"):
        await opened(tmp_path / "new", config=greedy)
    await (await opened(tmp_path)).close()
    store = await opened(tmp_path, config=greedy)
    with pytest.raises(Unavailable, match="make room"):
        await store.put([await document("a.txt", ["words"])])
    assert await texts(store) == set()
    await store.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made: Not a directory"):
        await opened(tmp_path / "file" / "index")


async def test_processes_that_create_one_folder_at_once_do_not_trip_over_each_other(tmp_path: Path) -> None:
    manifest = Manifest(embedder="hashing@1", dimension=3, bm25=Bm25Config(), fields={})
    writing = (asyncio.to_thread(write_manifest, tmp_path / "manifest.json", manifest) for _ in range(20))
    await asyncio.gather(*writing)
    assert names_in(tmp_path) == ["manifest.json"]


async def test_an_unknown_bm25_language_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="klingon"):
        await opened(tmp_path, config=EdgeConfig(bm25=Bm25Config(language="klingon")))


async def test_a_field_declared_later_finds_what_was_put_before(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["words"], metadata={"draft": True, "year": 2020})])
    await store.close()
    declarations: list[tuple[dict[str, FieldType], dict[str, object], int]] = [
        ({"draft": "bool", "year": "keyword"}, {"year": "2020"}, 0),
        ({"draft": "bool", "year": "integer"}, {"year": 2020}, 1),
    ]
    for declared, year, expected in declarations:
        fields = Fields(declared)
        store = await opened(tmp_path, fields=fields)
        assert await store.count(ALL, parse_filters({"draft": True}, fields)) == 1
        assert await store.count(ALL, parse_filters(year, fields)) == expected
        await store.close()


async def test_drafts_of_a_crashed_creation_are_cleared(tmp_path: Path) -> None:
    await (await opened(tmp_path)).close()
    (tmp_path / "shard.new-1").mkdir()
    await (await opened(tmp_path)).close()
    assert names_in(tmp_path) == ["manifest.json", "shard"]


@pytest.mark.parametrize("n_done", [0, 1, 2])
async def test_a_replacement_that_fails_anywhere_leaves_one_version(tmp_path: Path, n_done: int) -> None:
    """The three operations are upsert, delete, set state; the mending ones after a failure succeed."""
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["old words", "older words"])])
    store._shard = TornShard(store._shard, [False] * n_done + [True])  # type: ignore[assignment, arg-type]  # a stand-in
    with pytest.raises(Unavailable):
        await store.put([await document("a.txt", ["new words"])])
    assert await texts(store) == ({"new words"} if n_done else {"old words", "older words"})
    words = Bm25Encoder(Bm25Config()).question("old new older words").indices
    assert store._shard
    assert store._frequencies.weights(words, ALL) == counted(store._shard).weights(words, ALL)
    await store.put([await document("a.txt", ["newest words"])])
    assert await texts(store) == {"newest words"}
    await store.close()


async def test_a_fault_in_the_counts_shows_nobody_what_is_hidden(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["my words"]), await document("b.txt", ["other words"], tenant="zeta")])
    store._frequencies = DocumentFrequencies()
    assert store._frequencies.audiences.seen_by(ALL).clauses == (), "the filter selects everything"
    assert await texts(store) == {"my words"}
    await store.close()


async def test_readers_are_refused_while_two_versions_cannot_be_told_apart(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["old words"])])
    store._shard = TornShard(store._shard, [False, True, True])  # type: ignore[assignment, arg-type]  # a stand-in
    with pytest.raises(Unavailable):
        await store.put([await document("a.txt", ["new words"])])
    with pytest.raises(Unavailable, match="half way"):
        await texts(store)
    await store.delete(ALL, (Match(field="uri", any_of=("nothing",)),))
    assert await texts(store) == {"new words"}
    await store.close()


async def test_a_crash_within_a_replacement_is_finished_on_opening(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["old words"]), await document("b.txt", ["untouched words"])])
    store._shard = TornShard(store._shard, [False, True, True])  # type: ignore[assignment, arg-type]  # a stand-in
    with pytest.raises(Unavailable):
        await store.put([await document("a.txt", ["new words"])])
    await store.close()
    store = await opened(tmp_path)
    assert await texts(store) == {"new words", "untouched words"}
    await store.close()


async def test_a_writer_that_gives_up_does_not_stop_its_write(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.put([await document("a.txt", ["old words"])])
    held = HeldShard(store._shard)  # type: ignore[arg-type]  # open
    store._shard = held  # type: ignore[assignment]  # a stand-in
    put = asyncio.create_task(store.put([await document("a.txt", ["new words"])]))
    await asyncio.to_thread(held.started.wait)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    reading = asyncio.create_task(texts(store))
    held.go_on.set()
    assert await reading == {"new words"}
    await store.close()


async def test_a_large_put_is_split_and_flushed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    documents = [await document(f"{n}.txt", [f"words {n} {part}" for part in range(30)]) for n in range(300)]
    await store.put(documents)
    assert await store.count(ALL) == 300
    first = (await store.records(ALL, (), 1)).records[0]
    assert len(await store.passages(ALL, first.id)) == 30
    await store.close()


PUTS_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from tests.building import document
from tests.index.test_edge import opened

async def main():
    store = await opened(Path(sys.argv[1]))
    for round in range(10_000):
        for name in range(5):
            texts = [f"words {round} {part}" for part in range(3 + round % 4)]
            await store.put([await document(f"{name}.txt", texts), await document(f"{name}+.txt", texts)])
            print(round, name, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("n_acknowledged", [0, 1, 4, 5, 9, 17, 26])
def test_a_kill_loses_nothing_acknowledged_and_leaves_no_mixture(tmp_path: Path, n_acknowledged: int) -> None:
    command = [sys.executable, "-W", "error", "-c", PUTS_UNTIL_KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        seen = [writer.stdout.readline() for _ in range(n_acknowledged)]
        writer.kill()
        seen += writer.stdout.readlines()
    acknowledged = {int(name): int(round_) for round_, name in (line.split() for line in seen)}
    assert len(acknowledged) >= min(5, n_acknowledged)
    asyncio.run(require_whole_versions(tmp_path, acknowledged))


async def require_whole_versions(path: Path, acknowledged: dict[int, int]) -> None:
    store = await opened(path)
    for name in range(5):
        for uri in (f"{name}.txt", f"{name}+.txt"):
            page = await store.records(ALL, (Match(field="uri", any_of=(uri,)),), 10)
            assert len(page.records) == page.total == 1 if name in acknowledged else page.total <= 1
            for record in page.records:
                stored = [passage.chunk.text for passage, _ in await store.passages(ALL, record.id)]
                round_ = int(stored[0].split()[1])
                assert round_ >= acknowledged.get(name, 0)
                assert stored == [f"words {round_} {part}" for part in range(3 + round_ % 4)]
    await store.close()


async def test_the_manifest_says_what_the_index_was_built_with(tmp_path: Path) -> None:
    await (await opened(tmp_path, fields=Fields({"year": "integer"}))).close()
    manifest = msgspec.json.decode((tmp_path / "manifest.json").read_bytes())
    assert (manifest["embedder"], manifest["dimension"], manifest["fields"]) == ("hashing@1", 32, {"year": "integer"})


async def test_what_was_written_since_it_was_built_is_told(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert await store.wear() == Wear()
    await store.put([await document("a", ["one", "two"]), await document("b", ["three"])])
    assert await store.wear() == Wear(n_chunks=3, n_one_by_one=3)
    await store.put([await document("a", ["one", "four"])])
    await store.delete(ALL, (Match(field="uri", any_of=("b",)),))
    assert await store.wear() == Wear(n_chunks=2, n_one_by_one=2, n_gone=3)
    await store.close()
    store = await opened(tmp_path)
    assert await store.wear() == Wear(n_chunks=2, n_one_by_one=2)
    await store.close()
