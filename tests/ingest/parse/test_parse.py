import zipfile
from contextlib import suppress
from io import BytesIO

import pytest

from ingest.parse.formats import format_of
from ingest.parse.parse import parse
from rag.base.errors import PermanentIngestError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.MD", "markdown"),
        ("a.py", "code"),
        ("Makefile", "code"),
        ("README", "text"),
        ("notes.2024", "text"),
        ("a.csv", "csv"),
        ("a.htm", "html"),
        ("a.pdf", "pdf"),
    ],
)
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    kind = format_of(name, b"words")
    assert kind is not None
    assert kind.name == expected


def test_the_bytes_tell_where_the_name_does_not() -> None:
    assert format_of("blob", b"%PDF-1.7") is not None
    assert format_of("blob", b"\x89PNG\r\n\x1a\n\0\0") is None
    assert format_of("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF") is None
    assert format_of("signature.p7s", b"\x30\x82\x01\0") is None


def test_html_is_read_without_its_head_and_scripts() -> None:
    page = (
        '<html lang="en"><head><title>The &amp; cat</title><meta name="viewport" content="x"><script>bad()</script>'
        "</head><body><h1>On a mat</h1><script>bad()</script><p>It sat.</p>"
        "<table><tr><th>a</th></tr><tr><td>b</td></tr></table></body></html>"
    )
    parsed = parse(page.encode(), "a.html")
    assert (parsed.title, parsed.format, parsed.metadata) == ("The & cat", "html", {"language": "en"})
    assert parsed.text.startswith("# On a mat\n")
    assert "It sat." in parsed.text
    assert "| a |" in parsed.text
    assert "bad" not in parsed.text
    assert "viewport" not in parsed.text


@pytest.mark.parametrize("tag", ["<head ", "<title>", "<svg ", "<meta ", "<html ", "<title><svg><head>"])
def test_a_page_of_tags_that_never_end_takes_no_longer_than_others(tag: str) -> None:
    page = f"<p>Hello there.</p>{tag * (2**19 // len(tag))}"
    with suppress(PermanentIngestError):
        parse(page.encode(), "a.html")  # would take an hour where the time grew with the square


def test_utf16_html_with_a_wrong_declaration_is_read() -> None:
    page = '<html><head><meta charset="utf-8"></head><body><p>日本語 text</p></body></html>'
    assert "日本語 text" in parse(page.encode("utf-16"), "a.html").text


def test_text_is_kept_to_the_letter() -> None:
    assert parse(b"a  b\r\n\r\n\r\nc\\.", "a.txt").text == "a  b\r\n\r\n\r\nc\\."


def test_a_signed_mail_is_read() -> None:
    mail = (
        b'MIME-Version: 1.0\nContent-Type: multipart/signed; boundary="b"\n\n--b\nHello\n\n--b\n'
        b"Content-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: base64\n\nMIIG\n--b--\n"
    )
    assert parse(mail, "a.p7s").text == "Hello"


def an_archive() -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("x", "y")
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"", "empty"),
        ("a.md", b" \n", "nothing but white space"),
        ("a.html", b"<html><script>x()</script></html>", "holds no text"),
        ("a.pdf", b"%PDF-1.4 broken", "not a valid pdf file"),
        ("a.docx", b"PK\x03\x04 broken", "not a valid docx file"),
        ("a.docx", an_archive(), "docx"),
        ("a.jpg", b"\xff\xd8\xff\xe0\0", "type '.jpg' are not supported"),
        ("a.txt", b"\0\1\2" * 99, "binary"),
    ],
)
def test_faults_are_named(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(PermanentIngestError, match=reason):
        parse(data, name)
