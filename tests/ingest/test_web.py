import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from ingest.config import IngestConfig
from ingest.draft import Draft
from ingest.outcome import Failure
from ingest.parse.pool import ParserPool
from ingest.read import SourceReader
from ingest.sources import UrlSource
from ingest.web import WebReader, open_web
from rag.base.errors import PermanentIngestError, TransientIngestError
from tests.indexing import stream

pytestmark = pytest.mark.sockets

HTML = b"<html><head><title>Opening hours</title></head><body><p>We open at nine.</p></body></html>"
ALLOWED = IngestConfig(allow_private_addresses=True, n_parsers=1, fetch_timeout_s=20, max_file_bytes=10_000)


class Host:
    """A web server on loopback: path to (status, headers, body); what was asked for is in `asked`."""

    def __init__(self, pages: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.agents: set[str] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.asked.append(path)
        self.agents |= {line for line in head.splitlines() if line.lower().startswith("user-agent")}
        status, headers, body = self.pages.get(path, (404, {}, b""))
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Resolver:
    """Says that every name is at the given address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []

    async def resolve(self, host, port=0, family=0):
        self.asked.append(host)
        return [{"hostname": host, "host": self.address, "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def test_a_page_becomes_a_draft_under_its_url() -> None:
    host = Host({"/hours": (200, {"content-type": "text/html; charset=utf-8"}, HTML)})
    async with host.open() as base, open_web(ALLOWED) as web, ParserPool(ALLOWED) as pool:
        urls = [UrlSource(uri=f"{base}/hours"), UrlSource(uri=f"{base}/missing")]
        page, missing = [item async for item in SourceReader(pool, ALLOWED, web=web).read(stream(urls))]
    assert isinstance(page, Draft)
    assert (page.uri, page.title, page.format) == (f"{base}/hours", "Opening hours", "html")
    assert "We open at nine." in page.text
    assert isinstance(missing, Failure)
    assert (missing.reason, missing.transient) == ("the host answered 404 X", False)
    assert host.asked.count("/robots.txt") == 1, "the rules of a host are asked for once"
    assert all("Groundwire/" in agent for agent in host.agents)


async def test_a_redirect_is_followed_and_checked_like_the_first_url() -> None:
    pages = {
        "/a": (302, {"location": "/b"}, b""),
        "/b": (200, {"content-type": "text/plain"}, b"found"),
        "/loop": (302, {"location": "/loop"}, b""),
        "/out": (302, {"location": "file:///etc/passwd"}, b""),
        "/private/x": (200, {}, b"secret"),
        "/to-private": (302, {"location": "/private/x"}, b""),
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /private/\n"),
    }
    host = Host(pages)
    async with host.open() as base, open_web(ALLOWED) as web:
        assert (await web.fetch(f"{base}/a")).data == b"found"
        for path, reason in (("/loop", "redirects more"), ("/out", "only http"), ("/to-private", "robots.txt")):
            with pytest.raises(PermanentIngestError, match=reason):
                await web.fetch(base + path)
    assert "/private/x" not in host.asked


@pytest.mark.parametrize("status", [500, 503])
async def test_while_the_rules_cannot_be_read_nothing_is_fetched(status: int) -> None:
    host = Host({"/robots.txt": (status, {}, b""), "/a": (200, {}, b"x")})
    async with host.open() as base, open_web(ALLOWED) as web:
        with pytest.raises(TransientIngestError, match=str(status)):
            await web.fetch(f"{base}/a")
    assert host.asked == ["/robots.txt"]


async def test_what_is_too_large_is_refused_also_when_it_comes_compressed() -> None:
    pages = {
        "/big": (200, {}, b"x" * 20_000),
        "/bomb": (200, {"content-encoding": "gzip"}, gzip.compress(b"x" * 10**7)),
    }
    async with Host(pages).open() as base, open_web(ALLOWED) as web:
        for path in pages:
            with pytest.raises(PermanentIngestError, match="larger than the 10000 bytes"):
                await web.fetch(base + path)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.7", "::1"])
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    host, resolver = Host({"/a": (200, {}, b"secret")}), Resolver(address)
    async with host.open() as base, open_web(IngestConfig(), resolver) as web:
        port = base.rpartition(":")[2]
        with pytest.raises(PermanentIngestError, match="not public"):
            await web.fetch(f"http://innocent.test:{port}/a")
    assert resolver.asked == ["innocent.test"]
    assert host.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "localhost", "0"])
async def test_a_private_address_in_other_letters_is_refused(host: str) -> None:
    """What only the system's own look-up takes for an address is checked after it."""
    server = Host({"/a": (200, {}, b"secret")})
    async with server.open() as base, open_web(IngestConfig()) as web:
        with pytest.raises(PermanentIngestError, match="not public"):
            await web.fetch(f"http://{host}:{base.rpartition(':')[2]}/a")
    assert server.asked == []


class Redirecting:
    """A session in which every page but robots.txt leads to the same place."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.asked: list[str] = []

    @asynccontextmanager
    async def get(self, target: object, **_: object) -> AsyncIterator[SimpleNamespace]:
        self.asked.append(str(target))
        leads = not str(target).endswith("/robots.txt")
        headers = {"location": self.location} if leads else {}
        yield SimpleNamespace(status=302 if leads else 404, headers=headers, reason="X")


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://127.0.0.1/", "http://0.0.0.0/", "//10.0.0.1/x"),
        *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/"),
        *("file:///etc/passwd", "gopher://127.0.0.1/", "http://user:secret@x.org/", "http://x.org:0/"),
    ],
)
async def test_a_redirect_out_of_the_open_internet_is_not_followed(location: str) -> None:
    session = Redirecting(location)
    with pytest.raises(PermanentIngestError):
        await WebReader(session, IngestConfig()).fetch("http://open.test/a")
    assert session.asked == ["http://open.test/robots.txt", "http://open.test/a"]


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """Each connection is made to what its own look-up gave: there is no second look-up that could say otherwise."""
    host, resolver = Host({"/a": (200, {}, b"x")}), Resolver("127.0.0.1")
    async with host.open() as base, open_web(ALLOWED, resolver) as web:
        assert (await web.fetch(f"http://innocent.test:{base.rpartition(':')[2]}/a")).data == b"x"
    assert len(resolver.asked) == len(host.asked) == 2


async def test_a_host_that_is_not_there_may_be_there_later() -> None:
    async with Host({}).open() as base:
        pass
    async with open_web(ALLOWED) as web:
        with pytest.raises(TransientIngestError, match="cannot be reached"):
            await web.fetch(f"{base}/a")
