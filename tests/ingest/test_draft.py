from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.draft import Draft, document_of, filterable
from rag.base.errors import PermanentIngestError
from rag.base.types import Document


def document(**changes: object) -> Document:
    return document_of(Draft(**{"uri": "file:///a/b%20c.txt", "text": "cat"} | changes), "acme", "recipe")


@pytest.mark.parametrize(
    "change",
    [
        {"text": "cat "},
        {"title": "Cat"},
        {"format": "markdown"},
        {"acl": ("group:hr",)},
        {"metadata": {"a": 1}},
    ],
)
def test_everything_that_is_stored_is_in_the_version(change: dict[str, object]) -> None:
    assert document(**change).version != document().version


def test_time_and_order_are_not_in_the_version() -> None:
    one = document(acl=("user:a", "user:b"), metadata={"a": 1, "b": 2}, updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    other = document(acl=("user:b", "user:a", "user:b"), metadata={"b": 2, "a": 1})
    assert one.version == other.version
    assert document_of(Draft(uri="u", text="cat"), "acme", "other recipe").version != one.version


def test_the_content_hash_is_that_of_the_words() -> None:
    assert document(text=" cat\n sat ").content_hash == document(text="cat sat", title="x").content_hash


def test_instants_are_in_utc() -> None:
    assert document(updated_at=datetime(2020, 1, 1)).updated_at == datetime(2020, 1, 1, tzinfo=UTC)  # noqa: DTZ001
    east = datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert document(updated_at=east).updated_at.utcoffset() == timedelta(0)


def test_an_instant_that_utc_cannot_tell_is_refused() -> None:
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    with pytest.raises(PermanentIngestError, match="years 1 to 9999"):
        document(updated_at=first)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///a/b%20c.txt", "b c.txt"),
        ("https://x.org/docs/", "docs"),
        ("https://x.org", "https://x.org"),
        ("wiki:refunds", "wiki:refunds"),
        ("file:///c.jsonl#p1", "c.jsonl"),
    ],
)
def test_a_document_without_a_title_is_named_after_its_uri(uri: str, name: str) -> None:
    assert document(uri=uri).title == name


@given(st.text(st.characters()), st.text(st.characters()))
def test_nothing_that_cannot_be_stored_gets_through(text: str, title: str) -> None:
    clean = document(text=text, title=title, metadata={"key": text, "list": [text]}, acl=(text,))
    for value in (clean.text, clean.title, clean.metadata["key"], *clean.metadata["list"], *clean.acl):
        value.encode("utf-8")
    assert len(clean.text) == len(text)


def test_metadata_that_no_filter_can_use_is_left_out() -> None:
    raw = {"a": 1, "b": "x", "c": None, "d": {"e": 1}, "f": ["x", "y"], "g": [1, 2], "h": [], "i": True}
    assert filterable(raw) == {"a": 1, "b": "x", "f": ("x", "y"), "i": True}
