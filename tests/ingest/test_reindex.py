"""A store is copied into another with other settings, and again until nothing is left to copy."""

import pytest

from ingest.draft import Draft
from ingest.outcome import Report
from ingest.reindex import Copy
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, an_indexer, content, run

CATS = "the cat sat on a mat " * 20


class Scene:
    """A store, a copy of it in the making, and ways to change the first."""

    def __init__(self) -> None:
        self.old, self.new = MemoryStore(), MemoryStore()
        self.writer = an_indexer(self.old)
        self.embedder = HashingEmbedder()
        self.copy = Copy(self.old)

    async def catch_up(self) -> Report:
        return await self.copy.catch_up(self.new, an_indexer(self.new, self.embedder, chunk_tokens=24))

    async def fresh(self, drafts: list[Draft]) -> dict[str, object]:
        store = MemoryStore()
        await run(an_indexer(store, chunk_tokens=24), drafts)
        return await content(store)


@pytest.mark.parametrize("first", ["a:1", "z:1"])
async def test_a_copy_holds_what_a_fresh_store_would(first: str) -> None:
    scene = Scene()
    twin = "z:1" if first == "a:1" else "a:1"
    drafts = [
        Draft(uri=first, text=CATS, title="Cats", acl=("group:x",), metadata={"year": 2}),
        Draft(uri=twin, text=CATS, acl=("group:x",), metadata={"year": 2}),
        Draft(uri="m:1", text="# a\n\nthe mat\n\n## b\n\na cat", format="markdown", pages=((0, 1), (7, 2), (12, 3))),
    ]
    await run(scene.writer, drafts)
    report = await scene.catch_up()
    assert (report.added, report.duplicate, report.deleted) == (2, 1, 0)
    assert await content(scene.new) == await scene.fresh(drafts)
    assert (await all_records(scene.new))[twin].duplicate_of == (await all_records(scene.new))[first].id


async def test_what_changed_since_is_copied_and_nothing_else() -> None:
    scene = Scene()
    await run(scene.writer, [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at}") for at in range(6)])
    await run(scene.writer, [Draft(uri="doc:twin", text="the cat sat on mat 2")])
    await scene.catch_up()
    n_embedded = scene.embedder.n_embedded
    await run(scene.writer, [Draft(uri="doc:1", text="on a mat"), Draft(uri="doc:new", text="a cat")])
    records = await all_records(scene.old)
    for uri in ("doc:2", "doc:4"):  # the first of them has a twin, which becomes independent
        await scene.writer.remove(records[uri])
    report = await scene.catch_up()
    assert (report.updated, report.added, report.deleted) == (1, 1, 2)
    assert report.n_documents == 3
    assert scene.embedder.n_embedded == n_embedded + 2
    expected = [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at}") for at in (0, 3, 5)]
    expected += [Draft(uri="doc:twin", text="the cat sat on mat 2")]
    expected += [Draft(uri="doc:1", text="on a mat"), Draft(uri="doc:new", text="a cat")]
    assert await content(scene.new) == await scene.fresh(expected)
    assert (await scene.catch_up()).n_documents == 0


async def test_another_run_goes_on_and_takes_out_what_is_gone() -> None:
    scene = Scene()
    await run(scene.writer, [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at}") for at in range(4)])
    await scene.catch_up()
    n_embedded = scene.embedder.n_embedded
    await scene.writer.remove((await all_records(scene.old))["doc:3"])
    scene.copy = Copy(scene.old)
    report = await scene.catch_up()
    assert (report.unchanged, report.deleted, scene.embedder.n_embedded) == (3, 1, n_embedded)


async def test_the_documents_of_a_tenant_that_is_gone_are_taken_out() -> None:
    scene = Scene()
    await run(scene.writer, [Draft(uri="doc:1", text="the cat")])
    await scene.catch_up()
    await scene.writer.remove((await all_records(scene.old))["doc:1"])
    assert (await scene.catch_up()).deleted == 1
    assert await scene.new.tenants() == [] != [TENANT]


async def test_no_more_documents_are_copied_in_a_second_than_was_said() -> None:
    scene, now_s = Scene(), 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    await run(scene.writer, [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at}") for at in range(40)])
    scene.copy = Copy(scene.old, documents_per_s=4.0, clock=lambda: now_s, sleep=sleep)
    await scene.catch_up()
    assert now_s == pytest.approx(10.0)


def _drafts() -> list[Draft]:
    drafts = [Draft(uri=f"doc:{at}", text=f"the cat sat on mat {at}") for at in range(6)]
    return [
        *drafts,
        Draft(uri="a:twin", text="the cat sat on mat 2"),
        Draft(uri="doc:long", text=CATS, metadata={"year": 2}),
    ]


async def test_what_would_come_out_the_same_keeps_its_vectors() -> None:
    scene = Scene()
    await run(scene.writer, _drafts())
    report = await scene.copy.catch_up(scene.new, an_indexer(scene.new, scene.embedder))
    assert (report.added, report.duplicate, scene.embedder.n_embedded) == (7, 1, 0)
    assert await content(scene.new) == await content(scene.old)
    await run(scene.writer, [Draft(uri="doc:1", text="on a mat"), Draft(uri="doc:new", text="a cat")])
    await scene.writer.remove((await all_records(scene.old))["doc:2"])
    scene.copy = Copy(scene.old)  # as after a restart
    report = await scene.copy.catch_up(scene.new, an_indexer(scene.new, scene.embedder))
    assert (report.added, report.updated, report.deleted, scene.embedder.n_embedded) == (1, 2, 1, 0)
    assert await content(scene.new) == await content(scene.old)


async def test_of_documents_of_several_recipes_each_is_made_as_it_needs() -> None:
    scene = Scene()
    await run(scene.writer, _drafts())
    await run(
        an_indexer(scene.old, chunk_tokens=24),
        [Draft(uri="doc:0", text=CATS, metadata={"year": 2}), Draft(uri="z:1", text="a cat")],
    )
    await scene.catch_up()
    assert scene.embedder.n_embedded > 0
    drafts = [draft for draft in _drafts() if draft.uri != "doc:0"]
    wanted = await scene.fresh(
        [*drafts, Draft(uri="doc:0", text=CATS, metadata={"year": 2}), Draft(uri="z:1", text="a cat")]
    )
    assert (await content(scene.new)).keys() == wanted.keys()
    texts = {uri: [chunk.text for chunk, _ in found] for uri, (_, found) in (await content(scene.new)).items()}
    assert texts["z:1"] == ["a cat"]
    both = {
        uri: record.duplicate_of
        for uri, record in (await all_records(scene.new)).items()
        if uri in {"doc:0", "doc:long"}
    }
    assert sum(original is not None for original in both.values()) == 1, "they hold the same"
