"""Files that were made to do harm: each is refused with a reason, or read, and nothing else happens."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.jsonl import read_jsonl, superseded
from ingest.outcome import Failure
from ingest.parse.pool import ParserPool
from rag.base.errors import PermanentIngestError

CONFIG = IngestConfig(n_parsers=1, parse_timeout_s=60)
TYPES = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Override PartName="/word/document.xml" ContentType="application/'
    b'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
WORD = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
END = b"</w:body></w:document>"
CONTAINER = (
    b'<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
    b'full-path="../../../../etc/passwd" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return buffer.getvalue()


def docx(body: bytes, *more: tuple[str, bytes]) -> bytes:
    return zipped([*more, ("[Content_Types].xml", TYPES), ("word/document.xml", body)])


def pdf(*objects: bytes) -> bytes:
    data, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, b"".join(places))
    return data + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(data))


def archive_in_archive(depth: int) -> bytes:
    data = zipped([("a.txt", b"x")])
    for _ in range(depth):
        data = zipped([("n.zip", data)])
    return data


def entities() -> bytes:
    """Ten to the ninth laughs, written as references to references."""
    levels = b"".join(b'<!ENTITY %c "%s">' % (98 + at, b"&%c;" % (97 + at) * 10) for at in range(9))
    declared = b'<!DOCTYPE l [<!ENTITY a "lol">' + levels + b"]>"
    return docx(declared + WORD + b"<w:p><w:r><w:t>&j;</w:t></w:r></w:p>" + END)


HOSTILE = {
    "a zip bomb": ("b.docx", lambda: docx(WORD + b"A" * (110 * 2**20) + END), "exceeds limit"),
    "deep markup": ("d.docx", lambda: docx(WORD + b"<w:p>" * 10**5 + b"</w:p>" * 10**5 + END), "holds no text"),
    "references to references": ("l.docx", entities, "holds no text"),
    "archives in archives": ("n.zip", lambda: archive_in_archive(50), "not supported"),
    "a path out of an archive": ("e.epub", lambda: zipped([("META-INF/container.xml", CONTAINER)]), "not a valid epub"),
    "a page tree that holds itself": (
        "p.pdf",
        lambda: pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"),
        "hold no text",
    ),
    "a million open tags": ("h.html", lambda: b"<div>" * 10**5 + b"<script>alert(1)</script>", "holds no text"),
}


@pytest.mark.parametrize(("name", "data", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_it_is_refused_with_a_reason_and_the_next_file_is_read(name, data, reason) -> None:
    async with ParserPool(CONFIG) as pool:
        with pytest.raises(PermanentIngestError, match=reason):
            await pool.parse_bytes(data(), name)
        assert (await pool.parse_bytes(b"Still here.", "a.txt")).text == "Still here."


async def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    data = docx(WORD + b"<w:p><w:r><w:t>Hello there.</w:t></w:r></w:p>" + END, (f"../../../..{outside}", b"x"))
    async with ParserPool(CONFIG) as pool:
        assert (await pool.parse_bytes(data, "t.docx")).text == "Hello there.\n"
    assert not outside.exists()


def test_a_line_without_an_end_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    with file.open("wb") as stream:
        stream.truncate(2**28)
        stream.seek(0, io.SEEK_END)
        stream.write(b'\n{"uri": "u:1", "text": "x"}\n')
    with file.open("rb") as stream:
        assert superseded(stream, 2**24) == frozenset()
        stream.seek(0)
        long, short = read_jsonl(stream, "file:///long.jsonl", 2**24)
    assert isinstance(long, Failure)
    assert "longer than the 16777216 bytes" in long.reason
    assert short.uri == "u:1"
