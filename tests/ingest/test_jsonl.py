import json
from datetime import UTC, datetime
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.draft import Draft
from ingest.jsonl import read_jsonl, superseded
from ingest.outcome import Failure


def read(*lines: object, limit: int = 10_000) -> list[Draft | Failure]:
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return list(read_jsonl(BytesIO(data), "file:///c.jsonl", limit))


def test_a_line_is_a_document() -> None:
    (draft,) = read(
        {
            "uri": "https://x.org/1",
            "title": "One",
            "text": "The cat",
            "format": "markdown",
            "acl": ["group:hr"],
            "updated_at": "2024-05-01T12:00:00Z",
            "year": 2024,
            "tags": ["a", "b"],
            "nested": {"dropped": 1},
            "metadata": {"lang": "en", "gone": None},
        }
    )
    assert draft == Draft(
        uri="https://x.org/1",
        title="One",
        text="The cat",
        format="markdown",
        acl=("group:hr",),
        updated_at=datetime(2024, 5, 1, 12, tzinfo=UTC),
        metadata={"year": 2024, "tags": ("a", "b"), "lang": "en"},
        source="file:///c.jsonl",
    )


def test_ids_of_beir_and_others_name_a_place_in_the_file() -> None:
    drafts = read({"_id": "p1", "title": "", "text": "a"}, {"id": 7, "text": "b"}, {"text": "c"})
    assert [draft.uri for draft in drafts] == [f"file:///c.jsonl#{part}" for part in ("p1", "7", "L3")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "line 2: it is not valid JSON"),
        (b"[1]", "line 2: Expected `object`, got `array`"),
        (b'{"title": "x"}', "line 2: Object missing required field `text`"),
        (b'{"text": 1}', "line 2: Expected `str`, got `int` - at `$.text`"),
        (b'{"text": "x", "acl": ["evryone"]}', "line 2: Expected `str` matching regex"),
        (b'{"text": "\xff"}', "line 2: it is not valid UTF-8"),
        (b'{"text": ' + b"[" * 5000, "line 2: it is not valid JSON"),
        (b'{"text": "' + b"x" * 10_000 + b'"}', "line 2 is longer than the 10000 bytes"),
    ],
)
def test_a_bad_line_is_one_failure_and_the_rest_goes_on(line: bytes, reason: str) -> None:
    first, bad, last = read({"text": "a"}, line, {"text": "b"})
    assert isinstance(bad, Failure)
    assert bad.uri == "file:///c.jsonl#L2"
    assert bad.reason.startswith(reason)
    assert [draft.text for draft in (first, last) if isinstance(draft, Draft)] == ["a", "b"]


def test_blank_lines_and_a_mark_are_passed_over() -> None:
    drafts = read(b'\xef\xbb\xbf{"text": "a"}\r', b"", b"  ", {"text": "b"})
    assert [draft.uri[-2:] for draft in drafts] == ["L1", "L4"]


def test_a_line_is_not_longer_for_its_end() -> None:
    line = b'{"text": "a"}'
    assert isinstance(read(line, line, limit=len(line))[0], Draft)
    assert isinstance(read(line, line, limit=len(line) - 1)[1], Failure)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8))
def test_texts_come_back(texts: list[str]) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in texts]
    assert [draft.text for draft in read(*lines, limit=10**6) if isinstance(draft, Draft)] == texts


def test_of_a_document_that_comes_again_only_the_last_line_is_read() -> None:
    lines = [{"uri": "u:1", "text": "old"}, {"id": 2, "text": "b"}, {"uri": "u:1", "text": "new"}, {"id": 2}]
    data = b"\n".join(json.dumps(line).encode() for line in lines)
    skipped = superseded(BytesIO(data), 100)
    assert skipped == {1}, "a line that is no document supersedes none"
    items = list(read_jsonl(BytesIO(data), "file:///c.jsonl", 100, skipped=skipped))
    assert [item.text for item in items if isinstance(item, Draft)] == ["b", "new"]
