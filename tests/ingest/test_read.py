from io import BytesIO
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.outcome import Failure
from ingest.parse.pool import ParserPool
from ingest.read import SourceReader
from ingest.sources import find
from tests.fake_store import MemoryStore
from tests.indexing import TENANT, an_indexer, stream

DOCS = Path(__file__).parents[3] / "shared" / "data" / "docs"

CONFIG = IngestConfig(n_parsers=2)


async def read(*patterns: Path | str, stdin: bytes = b"", **defaults: object) -> list[Draft | Failure]:
    async with ParserPool(CONFIG) as pool:
        sources = find([str(pattern) for pattern in patterns], BytesIO(stdin))
        return [item async for item in SourceReader(pool, CONFIG, **defaults).read(stream(sources))]


async def test_items_come_in_the_order_of_their_sources(tmp_path: Path) -> None:
    for at in range(12):
        (tmp_path / f"{at:02}.txt").write_text(f"text {at}" * (12 - at) * 100)
    (tmp_path / "05.jsonl").write_text('{"id": "x", "text": "from a line"}\nbad\n')
    (tmp_path / "07.txt").write_bytes(b"")
    items = await read(tmp_path, tmp_path / "missing", "-", stdin=b'{"uri": "u:1", "text": "piped"}\n')
    names = [item.uri.rpartition("/")[2] for item in items]
    files = [f"{at:02}.txt" for at in range(12)]
    assert names == [*files[:5], "05.jsonl#x", "05.jsonl#L2", *files[5:], "missing", "u:1"]
    failures = {name for name, item in zip(names, items, strict=True) if isinstance(item, Failure)}
    assert failures == {"05.jsonl#L2", "07.txt", "missing"}


async def test_defaults_are_for_documents_that_state_none(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nteam: red\n---\ntext")
    lines = b'{"uri": "u:1", "text": "x", "acl": ["user:ann"], "team": "green"}\n{"uri": "u:2", "text": "y"}'
    items = await read(tmp_path, "-", stdin=lines, acl=("group:hr",), metadata={"team": "blue", "year": 1})
    assert [(item.acl, dict(item.metadata)) for item in items if isinstance(item, Draft)] == [
        (("group:hr",), {"team": "red", "year": 1}),
        (("user:ann",), {"team": "green", "year": 1}),
        (("group:hr",), {"team": "blue", "year": 1}),
    ]


async def test_leaving_early_leaves_nothing_behind(tmp_path: Path) -> None:
    for at in range(9):
        (tmp_path / f"{at}.txt").write_text("text")
    async with ParserPool(CONFIG) as pool:
        items = SourceReader(pool, CONFIG).read(stream(find([str(tmp_path)], BytesIO())))
        assert isinstance(await anext(items), Draft)
        await items.aclose()
        assert not pool._permits.locked()


REFUSED = {
    "haystack__non_text_searchable.pdf": "its 1 page holds no text, only pictures (scanned?); run OCR on it first",
    "unstructured__password.pdf": "it is protected with a password",
}
WORDS = {
    "R2R__docx.docx": "three primary layers",
    "R2R__p7s.p7s": "Hello World",
    "haystack__sample.msg": "This is an example email with a body",
    "unstructured__DA-619p.pdf": "Archdemon",
    "unstructured__docx-tables.docx": "| Header Col 1 | Header Col 2 |",
    "unstructured__example-steelJIS-datasheet-utf-16.html": "日本語",
    "unstructured__fake-email-utf-16.eml": "Roses are red",
    "unstructured__stanley-cups.xlsx": "| Maple Leafs | TOR | 13 |",
    "unstructured__winter-sports.epub": "Winter Sports in Switzerland",
}


@pytest.mark.skipif(not DOCS.is_dir(), reason="the shared folder of real documents is not beside this repository")
async def test_every_real_document_is_indexed_or_refused_with_a_true_reason() -> None:
    store = MemoryStore()
    indexer = an_indexer(store, chunk_tokens=200, window_documents=64)
    drafts: dict[str, Draft] = {}

    async def watched(reader: SourceReader):
        async for item in reader.read(stream(find([str(DOCS)], BytesIO()))):
            if isinstance(item, Draft):
                drafts[item.uri.rpartition("/")[2]] = item
            yield item

    async with ParserPool(CONFIG) as pool:
        report = await indexer.run(watched(SourceReader(pool, CONFIG)), TENANT)
    n_files = sum(1 for path in DOCS.iterdir() if not path.name.startswith("."))
    assert {failure.uri.rpartition("/")[2]: failure.reason for failure in report.failures} == REFUSED
    assert report.added + report.duplicate + report.failed == n_files
    for name, words in WORDS.items():
        assert words in drafts[name].text
    assert all(draft.title for name, draft in drafts.items() if name.endswith((".html", ".epub", ".eml", ".msg")))
