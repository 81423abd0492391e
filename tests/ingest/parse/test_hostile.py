"""Files that were made to do harm: each is refused with a reason, or read, and nothing else happens."""

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from ingest.config import IngestConfig
from ingest.jsonl import read_jsonl, superseded
from ingest.outcome import Failure
from ingest.parse.pool import ParserPool
from rag.base.errors import PermanentIngestError

CONFIG = IngestConfig(n_parsers=1, parse_timeout_s=60, parse_memory_bytes=2**28, max_text_chars=10**6)
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


def declaring(data: bytes, size_bytes: int) -> bytes:
    """The archive with another size written for each of its larger entries."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = changed.find(mark)
        while at >= 0:
            if struct.unpack_from("<I", changed, at + offset)[0] > 1000:
                struct.pack_into("<I", changed, at + offset, size_bytes)
            at = changed.find(mark, at + 1)
    return bytes(changed)


def odt(text: bytes, declared: bytes = b"") -> bytes:
    content = (
        b'<o:document-content xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:t="urn:oasis:names:tc:'
        b'opendocument:xmlns:text:1.0"><o:body><o:text><t:p>%s</t:p></o:text></o:body></o:document-content>' % text
    )
    return zipped([("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", declared + content)])


def xlsx(rows: bytes) -> bytes:
    schemas = b"http://schemas.openxmlformats.org/"
    places = schemas + b"officeDocument/2006/relationships"
    leads = (
        b"<Relationships xmlns='%spackage/2006/relationships'><Relationship Id='r' Type='%s/%%s' Target='%%s'/>"
        b"</Relationships>" % (schemas, places)
    )
    main = schemas + b"spreadsheetml/2006/main"
    sheets = b"<sheets><sheet name='a' sheetId='1' r:id='r'/></sheets>"
    return zipped(
        [
            ("_rels/.rels", leads % (b"officeDocument", b"xl/workbook.xml")),
            ("xl/workbook.xml", b"<workbook xmlns='%s' xmlns:r='%s'>%s</workbook>" % (main, places, sheets)),
            ("xl/_rels/workbook.xml.rels", leads % (b"worksheet", b"worksheets/1.xml")),
            ("xl/worksheets/1.xml", b"<worksheet xmlns='%s'><sheetData>%s</sheetData></worksheet>" % (main, rows)),
        ]
    )


def gigabytes() -> bytes:
    """A small archive that says it is none."""
    return declaring(zipped([("content.xml", b"A" * 2000)]), 2**32 - 2)


LAUGHS = b'<!DOCTYPE l [<!ENTITY a "lol">%s]>' % b"".join(
    b'<!ENTITY %c "%s">' % (98 + at, b"&%c;" % (97 + at) * 10) for at in range(9)
)
"""Ten to the ninth laughs, written as references to references."""

OUTSIDE = b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
CATALOG, PAGES = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>/Contents 5 0 R>>"
DRAWN = b"<</Length 5>>stream\n/X Do\nendstream"
FORM = DRAWN.replace(b"<<", b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>", 1)


def swollen(n_bytes: int) -> bytes:
    packed = zlib.compress(b" " * n_bytes, 9)
    return b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)


def image(width: int, height: int) -> bytes:
    """A picture that says it is as large as that."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def mail(file_name: bytes, attached: bytes) -> bytes:
    return (
        b"From: a@b.c\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
        b"--q\r\nContent-Type: text/plain\r\n\r\nHello there.\r\n--q\r\nContent-Type: application/zip\r\n"
        b'Content-Disposition: attachment; filename="%s"\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--q--\r\n'
        % (file_name, base64.encodebytes(attached))
    )


HOSTILE = {
    "a zip bomb": ("b.docx", lambda: docx(WORD + b"A" * (110 * 2**20) + END), "exceeds limit"),
    "deep markup": ("d.docx", lambda: docx(WORD + b"<w:p>" * 10**5 + b"</w:p>" * 10**5 + END), "holds no text"),
    "a workbook of gigabytes": ("b.xlsx", gigabytes, "unpacks to 4294967294 bytes"),
    "a workbook with one cell far away": (
        "f.xlsx",
        lambda: xlsx(b"<row r='1'><c r='A1'><v>1</v></c></row><row r='60000'><c r='ALL60000'><v>1</v></c></row>"),
        "more memory",
    ),
    "slides of gigabytes": ("b.pptx", gigabytes, "unpacks to 4294967294 bytes"),
    "a text of gigabytes": ("b.odt", gigabytes, "unpacks to 4294967294 bytes"),
    "a book of gigabytes": ("b.epub", gigabytes, "unpacks to 4294967294 bytes"),
    "a bomb that lies about its size": ("b.odt", lambda: declaring(odt(b"A" * 2**21), 1000), "max_text_chars allows"),
    "20,000 entries": ("n.docx", lambda: docx(WORD + END, *((f"{at}", b"") for at in range(20_000))), "exceeds limit"),
    "references to references": (
        "l.docx",
        lambda: docx(LAUGHS + WORD + b"<w:p><w:r><w:t>&j;</w:t></w:r></w:p>" + END),
        "holds no text",
    ),
    "references in a text": ("l.odt", lambda: odt(b"&j;", LAUGHS), "DTD"),
    "references to a file": ("x.odt", lambda: odt(b"&x;", OUTSIDE), "DTD"),
    "archives in archives": ("n.zip", lambda: archive_in_archive(50), "not supported"),
    "a path out of an archive": ("e.epub", lambda: zipped([("META-INF/container.xml", CONTAINER)]), "not a valid epub"),
    "a page tree that holds itself": (
        "p.pdf",
        lambda: pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"),
        "hold no text",
    ),
    "a table of objects that comes after itself": (
        "p.pdf",
        lambda: pdf(CATALOG, b"<</Type/Pages/Kids[]/Count 0>>").replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev 9"),
        "not a valid pdf",
    ),
    "a stream of objects that extends itself": (
        "p.pdf",
        lambda: pdf(CATALOG, PAGES, b"<</Type/ObjStm/N 1/First 4/Extends 3 0 R/Length 8>>stream\n3 0 3 0 \nendstream"),
        "holds no text",
    ),
    "a drawing that draws itself": (
        "p.pdf",
        lambda: pdf(CATALOG, PAGES, PAGE, FORM, DRAWN),
        "holds no text",
    ),
    "an outline below itself": (
        "p.pdf",
        lambda: pdf(
            CATALOG.replace(b">>", b"/Outlines 4 0 R>>"),
            PAGES,
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
            b"<</First 5 0 R/Last 5 0 R/Count 1>>",
            b"<</Title(a)/Next 5 0 R/First 5 0 R/Parent 5 0 R>>",
        ),
        "crashed over it|holds no text",
    ),
    "a page that swells": (
        "p.pdf",
        lambda: pdf(CATALOG, PAGES, PAGE, DRAWN, swollen(2**29)),
        "crashed over it|more memory|holds no text",
    ),
    "arrays in arrays": (
        "p.pdf",
        lambda: pdf(CATALOG.replace(b">>", b"/X " + b"[" * 10**5 + b"]" * 10**5 + b">>"), PAGES),
        "holds no text",
    ),
    "mail in mail without end": (
        "m.eml",
        lambda: b"Content-Type: message/rfc822\r\n\r\n" * 10**5,
        "crashed over it|holds no text",
    ),
    "zeros": ("z.txt", lambda: b"words\0\0and\0more", "binary data"),
    "a notebook nested too deeply": ("n.ipynb", lambda: b'{"cells":' + b"[" * 10**6, "recursion limit"),
    "a million open tags": ("h.html", lambda: b"<div>" * 10**5 + b"<script>alert(1)</script>", "holds no text"),
}


@pytest.mark.parametrize(("name", "data", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_it_is_refused_with_a_reason_and_the_next_file_is_read(name, data, reason) -> None:
    async with ParserPool(CONFIG) as pool:
        with pytest.raises(PermanentIngestError, match=reason):
            await pool.parse_bytes(data(), name)
        assert (await pool.parse_bytes(b"Still here.", "a.txt")).text == "Still here."


HARMLESS = {
    "scripts in a page": (
        "s.html",
        lambda: (
            b"<html><head><script>one()</script></head><body onload='two()'><p>Hello there.</p><script>three()</script>"
            b"<style>p{x:four}</style><img src=x onerror='five()'><svg><script>six()</script></svg><!-- seven -->"
            b"<iframe srcdoc='<script>eight()</script>'></iframe></body></html>"
        ),
    ),
    "a reference to a file": (
        "x.docx",
        lambda: docx(OUTSIDE + WORD + b"<w:p><w:r><w:t>Hello there.&x;</w:t></w:r></w:p>" + END),
    ),
    "a picture of gigabytes": (
        "i.docx",
        lambda: docx(
            WORD + b"<w:p><w:r><w:t>Hello there.</w:t></w:r></w:p>" + END, ("word/media/1.png", image(60_000, 60_000))
        ),
    ),
    "mail in mail": (
        "m.eml",
        lambda: b"Content-Type: message/rfc822\r\n\r\n" * 100 + b"Subject: s\r\n\r\nHello there.\r\n",
    ),
    "a name that leads out": ("../../../../etc/passwd.txt", lambda: b"Hello there.\n"),
}


@pytest.mark.parametrize(("name", "data"), HARMLESS.values(), ids=HARMLESS)
async def test_it_is_read_for_its_words_and_nothing_else(name, data) -> None:
    async with ParserPool(CONFIG) as pool:
        assert (await pool.parse_bytes(data(), name)).text == "Hello there.\n"


async def test_a_link_that_runs_a_script_leads_nowhere() -> None:
    page = (
        b"<p>A <a href='JavaScript:steal()'>link</a>, <a href='data:text/html,x'>two</a>, <a href='/x'>three</a>.</p>"
    )
    async with ParserPool(CONFIG) as pool:
        text = (await pool.parse_bytes(page, "a.html")).text
    assert text == "A [link](#steal()), [two](#text/html,x), [three](/x).\n"


@pytest.mark.parametrize("attached", [zipped([("x.txt", b"A" * 2**24)]), archive_in_archive(50)])
async def test_what_is_attached_to_a_mail_is_not_unpacked(attached: bytes) -> None:
    async with ParserPool(CONFIG) as pool:
        text = (await pool.parse_bytes(mail(b"../../b.zip", attached), "m.eml")).text
    assert text.endswith("Hello there.\n")
    assert "AAAA" not in text


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
