import pytest

from rag.base.titles import PREFIX_CHARS, headed, name_of


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
def test_a_document_is_named_after_the_end_of_its_uri(uri: str, name: str) -> None:
    assert name_of(uri) == name


def test_a_title_that_only_repeats_the_uri_or_a_heading_is_not_said() -> None:
    assert headed("text", "file:///a.md", "a.md", ()) == "text"
    assert headed("text", "file:///a.md", "a.md", ("Part", "One")) == "Part > One\ntext"
    assert headed("text", "file:///a.md", "Cats", ("Cats", "One")) == "Cats > One\ntext"


def test_a_long_title_leaves_room_for_the_text() -> None:
    assert headed("text", "doc:a", "cat " * 500, ("x",)) == ("cat " * 500)[:PREFIX_CHARS] + "\ntext"
