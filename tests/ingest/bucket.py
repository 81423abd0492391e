"""A bucket behind a socket: as much of S3's HTTP interface as reading needs, with a page size that a test can reach."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3
MODIFIED = "Sun, 22 Nov 2026 10:00:00 GMT"


class Bucket:
    """Holds `objects` by key. `refusal` is answered instead where there is one; `asked` has every request line."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.refusal: tuple[int, str] | None = None
        self.asked: list[str] = []
        self.signers: set[str] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        self.asked.append(f"{method} {target}")
        self.signers |= {line.partition(": ")[2].split("/")[0] for line in head.splitlines() if "AWS4-HMAC" in line}
        status, headers, body = self._answer(target)
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else body))
        await writer.drain()
        writer.close()

    def _answer(self, target: str) -> tuple[int, list[str], bytes]:
        parts = urlsplit(target)
        _, bucket, key = [*unquote(parts.path).split("/", 2), ""][:3]
        if self.refusal:
            status, code = self.refusal
            return status, [], f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        if bucket != "shelf":
            return 404, [], b"<Error><Code>NoSuchBucket</Code></Error>"
        if not key:
            return 200, ["content-type: application/xml"], self._listing(parse_qs(parts.query)).encode()
        if key not in self.objects:
            return 404, [], b"<Error><Code>NoSuchKey</Code></Error>"
        data = self.objects[key]
        return 200, [f'ETag: "{_etag(data)}"', f"last-modified: {MODIFIED}"], data

    def _listing(self, query: dict[str, list[str]]) -> str:
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > after]
        page = keys[: min(PAGE, int(query.get("max-keys", ["1000"])[0]))]
        entries = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><LastModified>2026-11-22T10:00:00.000Z</LastModified>"
            f"<ETag>&quot;{_etag(self.objects[key])}&quot;</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        more = len(page) < len(keys)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        flag = f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
        return f"<ListBucketResult><Name>shelf</Name>{flag}{token}{entries}</ListBucketResult>"


def _etag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()
