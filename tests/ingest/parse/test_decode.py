import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parse.decode import decode
from rag.base.errors import PermanentIngestError

encodable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(encodable)
def test_utf8_comes_back(text: str) -> None:
    assert decode(text.encode()) == text.removeprefix("\ufeff")


@given(encodable.filter(lambda text: not text.startswith("\x00")))
def test_marked_text_comes_back_in_every_unicode_encoding(text: str) -> None:
    marks = {
        "utf-8": codecs.BOM_UTF8,
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "utf-32-le": codecs.BOM_UTF32_LE,
        "utf-32-be": codecs.BOM_UTF32_BE,
    }
    for encoding, mark in marks.items():
        assert decode(mark + text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_recognised(encoding: str) -> None:
    text = "The cat sat on a mat.\r\n" * 5
    assert decode(text.encode(encoding)) == text


def test_a_declared_charset_is_believed_where_it_fits() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body>Привет, мир</body></html>'
    assert decode(page.encode("cp1251")) == page
    assert decode(page.encode("utf-8")) == page


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Съешь ещё этих мягких французских булок, да выпей же чаю. " * 5),
        ("shift_jis", "これは日本語の文章です。東京は日本の首都であり、世界最大の都市の一つです。" * 5),
        ("cp1252", "Les élèves étaient très fatigués après la journée à l'école, où ils avaient étudié. " * 5),
    ],
)
def test_undeclared_charsets_are_recognised(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [b"\0\1\2\3" * 50, bytes(range(256)) * 4])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(PermanentIngestError, match="binary"):
        decode(data)


def test_a_broken_marked_text_is_refused_with_the_place() -> None:
    with pytest.raises(PermanentIngestError, match="UTF-8: fault at byte 3"):
        decode(codecs.BOM_UTF8 + b"abc\xff")
