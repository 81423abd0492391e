"""Documents from the web, one request at a time for each host, as their robots.txt allows."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.robotparser import RobotFileParser

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from ingest.addresses import require_fetchable, require_public
from ingest.config import IngestConfig
from rag.base.errors import PermanentIngestError, TransientIngestError

MAX_REDIRECTS: Final = 5
MAX_ROBOTS_BYTES: Final = 500 * 2**10
"""Of a robots.txt no more is read (RFC 9309 asks for at least so much)."""
MAX_PAUSE_S: Final = 10.0
"""A longer crawl-delay is not kept."""
AGENT: Final = "Groundwire"

_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Fetched(Struct, frozen=True, kw_only=True):
    """The answer to one url. `media_type` is in lower case and without parameters; empty where the host said none."""

    data: bytes
    media_type: str
    modified_at: datetime


class WebReader:
    """Fetches documents. Made by `open_web`; safe to call concurrently."""

    def __init__(self, session: aiohttp.ClientSession, config: IngestConfig) -> None:
        self._session = session
        self._config = config
        self._robots: dict[str, RobotFileParser] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def fetch(self, url: str) -> Fetched:
        """What stands at the url, after redirects. Raises PermanentIngestError, TransientIngestError with the reason.

        Each address on the way is checked, and the connection goes to the address that was checked: a name that
        resolves otherwise a moment later (DNS rebinding) gains nothing.
        """
        try:
            async with asyncio.timeout(self._config.fetch_timeout_s):
                for _ in range(MAX_REDIRECTS + 1):
                    require_fetchable(url, allow_private=self._config.allow_private_addresses)
                    async with self._turns.setdefault(urlsplit(url).netloc, asyncio.Lock()):
                        await self._require_allowed(url)
                        answer = await self._ask(url, self._config.max_file_bytes)
                    if isinstance(answer, Fetched):
                        return answer
                    url = urljoin(url, answer)
        except TimeoutError as error:
            limit_s = self._config.fetch_timeout_s
            raise TransientIngestError(f"fetching it took more than the {limit_s:g} s of fetch_timeout_s") from error
        raise PermanentIngestError(f"it redirects more than {MAX_REDIRECTS} times")

    async def _ask(self, url: str, max_bytes: int) -> Fetched | str:
        """The document, or where it is."""
        try:
            target = URL(url, encoded=True)
            if not self._config.allow_private_addresses:
                require_public(target.host or "")  # once more, as the one that connects has read it
            async with self._session.get(target, allow_redirects=False) as reply:
                location = reply.headers.get("location")
                if location and 300 <= reply.status < 400:
                    return location
                if reply.status != 200:
                    kind = TransientIngestError if reply.status in _TRY_AGAIN else _NotGiven
                    raise kind(f"the host answered {reply.status} {reply.reason or ''}".rstrip())
                return Fetched(
                    data=await _read(reply, max_bytes),
                    media_type=reply.headers.get("content-type", "").partition(";")[0].strip().lower(),
                    modified_at=_instant(reply.headers.get("last-modified", "")),
                )
        except aiohttp.ClientConnectorError as error:
            raise _refused(error.os_error) or TransientIngestError("its host cannot be reached") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise TransientIngestError(f"fetching it failed with {type(error).__name__}") from error

    async def _require_allowed(self, url: str) -> None:
        parts = urlsplit(url)
        origin = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        if origin not in self._robots:
            self._robots[origin] = await self._robots_of(origin)
        rules = self._robots[origin]
        if not rules.can_fetch(AGENT, url):
            raise PermanentIngestError("the robots.txt of its host does not allow it")
        await asyncio.sleep(min(float(rules.crawl_delay(AGENT) or 0), MAX_PAUSE_S))

    async def _robots_of(self, origin: str) -> RobotFileParser:
        """The rules of a host: without a file everything is allowed, and nothing while it cannot be read (RFC 9309)."""
        rules = RobotFileParser()
        rules.modified()
        try:
            answer = await self._ask(f"{origin}/robots.txt", MAX_ROBOTS_BYTES)
            lines = answer.data.decode("utf-8", "replace").splitlines() if isinstance(answer, Fetched) else []
            rules.parse(lines)
        except _NotGiven:
            rules.parse([])
        return rules


@asynccontextmanager
async def open_web(config: IngestConfig, resolver: AbstractResolver | None = None) -> AsyncIterator[WebReader]:
    """A reader with connections of its own, which goes through no proxy: a proxy would look up names by itself."""
    checked = _CheckedResolver(resolver or aiohttp.ThreadedResolver(), allow_private=config.allow_private_addresses)
    connector = aiohttp.TCPConnector(resolver=checked, use_dns_cache=False, limit_per_host=1)
    agent = f"{AGENT}/{version('groundwire')}"
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"user-agent": agent}, trust_env=False
    ) as session:
        yield WebReader(session, config)


class _NotGiven(PermanentIngestError):
    """The host refuses it or does not have it."""


class _NotPublic(OSError):
    """Raised within aiohttp, which passes on errors of this kind."""


class _CheckedResolver(AbstractResolver):
    """Gives the addresses of a name to connect to, or none of them if one is not allowed."""

    def __init__(self, resolver: AbstractResolver, *, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not self._allow_private:
            for each in found:
                try:
                    require_public(each["host"])
                except PermanentIngestError as error:
                    raise _NotPublic(str(error)) from error
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _refused(error: BaseException | None) -> PermanentIngestError | None:
    return PermanentIngestError(str(error)) if isinstance(error, _NotPublic) else None


async def _read(reply: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body, decompressed; so much of it is held and no more."""
    data = bytearray()
    async for piece in reply.content.iter_chunked(2**16):
        data += piece
        if len(data) > max_bytes:
            raise PermanentIngestError(f"it is larger than the {max_bytes} bytes that are allowed")
    return bytes(data)


def _instant(header: str) -> datetime:
    try:
        instant = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(time.time(), UTC)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
