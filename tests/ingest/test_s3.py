import asyncio
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.library import Library
from ingest.local import LocalIndex
from ingest.memory import SourceMemory
from ingest.outcome import Failure, Report
from ingest.parse.pool import ParserPool
from ingest.read import SourceReader
from ingest.s3 import S3Objects, open_objects, place_of, uri_of
from ingest.sources import S3Source, argument_of, find, scope_of
from ingest.sync import Synchroniser
from rag.base.errors import ConfigError, InvalidInput, PermanentIngestError, TransientIngestError
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder
from tests.indexing import TENANT, all_records, an_indexer
from tests.ingest.bucket import Bucket

pytestmark = pytest.mark.sockets

SHELF = {
    "docs/a.md": b"# A\n\nThe cat sat.",
    "docs/deep/b.txt": b"A mat.",
    "docs/deep/odd name #1.txt": b"On a mat.",
    "docs/lines.jsonl": b'{"id": "x", "text": "the cat"}\n{"id": "y", "text": "the mat"}\n',
    "docs/": b"",
    "docs/.hidden/c.txt": b"Hidden.",
    "docs-private/d.txt": b"Not asked for.",
    "docs.md": b"Not asked for either.",
}
NAMES = ["docs/a.md", "docs/deep/b.txt", "docs/deep/odd name #1.txt", "docs/lines.jsonl"]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def config(url: str, **changes: object) -> IngestConfig:
    return IngestConfig(**{"s3_endpoint": url, "n_parsers": 1, "fetch_timeout_s": 20} | changes)


async def listed(objects: S3Objects, *patterns: str) -> list[S3Source | Failure]:
    return await asyncio.to_thread(lambda: list(find(patterns, BytesIO(), objects)))


class Sync:
    """Runs over a bucket into an index in memory, which remember each other."""

    def __init__(self, url: str, pool: ParserPool, memory: SourceMemory) -> None:
        self.store, self.embedder = MemoryStore(), HashingEmbedder()
        self.objects = open_objects(config(url))
        self._pool = pool
        library = Library(an_indexer(self.store, self.embedder), self.store)
        index = LocalIndex(library, TENANT, lambda: asyncio.sleep(0))
        self._synchroniser = Synchroniser(index, memory, TENANT, "recipe", is_there=self.objects.is_there)

    async def run(self, *patterns: str, delete: bool = False) -> Report:
        found = find(patterns, BytesIO(), self.objects)
        reader = SourceReader(self._pool, IngestConfig(n_parsers=1), s3=self.objects)
        report, walk = await self._synchroniser.run(found, reader)
        if delete:
            report.deleted = await self._synchroniser.delete_missing([scope_of(each) for each in patterns], walk)
        return report

    async def uris(self) -> list[str]:
        return sorted(await all_records(self.store))


async def synced(bucket: Bucket, url: str, pool: ParserPool, memory: SourceMemory) -> Sync:
    sync = Sync(url, pool, memory)
    assert (await sync.run("s3://shelf/docs")).added == 5
    bucket.asked.clear()
    return sync


@pytest.mark.parametrize("pattern", ["s3://shelf/docs", "s3://shelf/docs/"])
async def test_a_prefix_is_a_folder_that_is_listed_page_by_page(pattern: str) -> None:
    bucket = Bucket(SHELF)
    async with bucket.open() as url:
        found = await listed(open_objects(config(url)), pattern)
    assert [each.key for each in found if isinstance(each, S3Source)] == NAMES
    assert found[0].uri == "s3://shelf/docs/a.md"
    assert found[0].size_bytes == len(SHELF["docs/a.md"])
    assert sum("list-type=2&prefix=docs%2F" in line for line in bucket.asked) == 2, "six objects, three to a page"
    assert bucket.signers == {"AWS4-HMAC-SHA256 Credential=reader"}


async def test_one_object_and_a_whole_bucket_can_be_named() -> None:
    async with Bucket(SHELF).open() as url:
        objects = open_objects(config(url))
        assert [each.key for each in await listed(objects, "s3://shelf/docs/deep/b.txt")] == ["docs/deep/b.txt"]
        everything = [each.key for each in await listed(objects, "s3://shelf")]
    assert everything == ["docs-private/d.txt", "docs.md", *NAMES]


@pytest.mark.parametrize("key", ["a.md", "deep/odd name #1.txt", "50%20.txt", "é/?x=1&y", "../up.txt"])
def test_an_object_is_found_again_by_its_uri(key: str) -> None:
    uri = uri_of("shelf", key)
    assert place_of(uri) == ("shelf", key)
    assert scope_of(f"s3://shelf/{key}") == uri
    assert argument_of(uri) == f"s3://shelf/{key}"
    assert "#" not in uri


async def test_objects_are_read_once_and_again_when_their_etag_is_another(tmp_path: Path) -> None:
    bucket = Bucket(dict(SHELF))
    async with bucket.open() as url, ParserPool(config(url)) as pool:
        with SourceMemory(tmp_path / "sources.sqlite") as memory:
            sync = await synced(bucket, url, pool, memory)
            assert await sync.uris() == [
                "s3://shelf/docs/a.md",
                "s3://shelf/docs/deep/b.txt",
                "s3://shelf/docs/deep/odd%20name%20%231.txt",
                "s3://shelf/docs/lines.jsonl#x",
                "s3://shelf/docs/lines.jsonl#y",
            ]
            assert (await sync.run("s3://shelf/docs")).unchanged == 5
            assert not [line for line in bucket.asked if "list-type" not in line], "nothing is read, only listed"
            bucket.objects["docs/a.md"] = b"# A\n\nThe cat ran."  # of the same size
            report = await sync.run("s3://shelf/docs")
            assert (report.updated, report.unchanged) == (1, 4)


async def test_what_is_gone_is_deleted_when_s3_says_so(tmp_path: Path) -> None:
    bucket = Bucket(dict(SHELF))
    async with bucket.open() as url, ParserPool(config(url)) as pool:
        with SourceMemory(tmp_path / "sources.sqlite") as memory:
            sync = await synced(bucket, url, pool, memory)
            del bucket.objects["docs/deep/b.txt"]
            bucket.objects["docs/lines.jsonl"] = b'{"id": "y", "text": "the mat"}\n'
            report = await sync.run("s3://shelf/docs", delete=True)
            assert report.deleted == 2
            assert [line for line in bucket.asked if line.startswith("HEAD")] == ["HEAD /shelf/docs/deep/b.txt"]
            assert len(await sync.uris()) == 3


@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (503, "SlowDown")])
async def test_nothing_is_deleted_when_the_bucket_cannot_be_listed(refusal: tuple[int, str], tmp_path: Path) -> None:
    bucket = Bucket(dict(SHELF))
    async with bucket.open() as url, ParserPool(config(url)) as pool:
        with SourceMemory(tmp_path / "sources.sqlite") as memory:
            sync = await synced(bucket, url, pool, memory)
            bucket.refusal = refusal
            with pytest.raises(InvalidInput, match="nothing was deleted"):
                await sync.run("s3://shelf/docs", delete=True)
            assert len(await sync.uris()) == 5
            bucket.refusal = None
            bucket.objects.clear()
            with pytest.raises(InvalidInput, match="nothing is there any more"):
                await sync.run("s3://shelf/docs", delete=True)


async def test_refusals_have_reasons_that_quote_nothing() -> None:
    bucket = Bucket(dict(SHELF))
    async with bucket.open() as url:
        objects = open_objects(config(url))
        (failure,) = await listed(objects, "s3://other/docs")
        assert isinstance(failure, Failure)
        assert (failure.uri, failure.reason, failure.transient) == (
            "s3://other/docs",
            "S3 answered 404 NoSuchBucket",
            False,
        )
        (found,) = await listed(objects, "s3://shelf/docs/a.md")
        bucket.refusal = (503, "SlowDown")
        with pytest.raises(TransientIngestError, match="503 SlowDown"):
            await asyncio.to_thread(objects.read, found)
    with pytest.raises(TransientIngestError, match="S3 cannot be asked: EndpointConnectionError"):
        await asyncio.to_thread(objects.read, found)


async def test_no_more_is_read_than_is_allowed() -> None:
    bucket = Bucket({"big.txt": b"x" * 101, "grown.txt": b"x" * 10})
    async with bucket.open() as url:
        objects = open_objects(config(url, max_file_bytes=100))
        big, grown = await listed(objects, "s3://shelf")
        bucket.objects["grown.txt"] = b"x" * 1000  # after it was listed
        for source in (big, grown):
            with pytest.raises(PermanentIngestError, match="larger than the 100 bytes"):
                await asyncio.to_thread(objects.read, source)


async def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with Bucket(SHELF).open() as url:
        (failure,) = await listed(open_objects(config(url)), "s3://shelf/docs")
    assert failure.reason == "S3 cannot be asked: NoCredentialsError"


@pytest.mark.parametrize("endpoint", ["not a url", "ftp//x"])
def test_an_endpoint_that_is_none_is_a_fault_of_the_settings(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="S3 cannot be set up"):
        open_objects(config(endpoint))


async def test_who_has_no_buckets_says_so() -> None:
    def found(patterns: Sequence[str]) -> list[object]:
        return list(find(patterns, BytesIO()))

    with pytest.raises(InvalidInput, match="not read here"):
        found(["s3://shelf/docs"])


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"pip install 'groundwire\[s3\]'"):
        open_objects(config(""))
