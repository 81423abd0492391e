from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.headings import Outline, first_heading, headings


def titles(text: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in headings(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\ntext\n\n## Two ##\n", [(1, "One"), (2, "Two")]),
        ("   ### Three", [(3, "Three")]),
        ("    # code\n", []),
        ("#no space\n", []),
        ("####### seven\n", []),
        ("```\n# inside\n```\n# after\n", [(1, "after")]),
        ("~~~ sh\n# inside\n```\n# still\n~~~\n# after\n", [(1, "after")]),
        ("````\n```\n# inside\n````\n# after", [(1, "after")]),
        ("```\n# never closed\n", []),
        ("Title\n=====\n\nSub\n---\n", [(1, "Title"), (2, "Sub")]),
        ("two lines of\na paragraph\n---\n", []),
        ("- item\n---\n", []),
        ("---\n---\n", []),
        ("# [Link](http://x.org) and **bold** `code`\r\n", [(1, "Link and bold code")]),
        ("# " + "x" * 500, []),
        ("#\n", []),
        ("# C#\n", [(1, "C#")]),
    ],
)
def test_headings_are_those_of_commonmark(text: str, expected: list[tuple[int, str]]) -> None:
    assert titles(text) == expected


def test_path_holds_the_headings_above_the_first_words() -> None:
    text = "intro\n# A\n\n## B\n\nunder b\n\n### C\n\nunder c\n\n# D\n"
    outline = Outline(headings(text))
    assert outline.path(text, 0, len(text)) == ()
    assert outline.path(text, text.index("# A"), len(text)) == ("A", "B")
    assert outline.path(text, text.index("under c"), len(text)) == ("A", "B", "C")
    assert outline.path(text, text.index("# D"), len(text)) == ("D",)
    assert outline.path(text, text.index("# A"), text.index("## B")) == ("A",)


def test_first_heading_prefers_level_one() -> None:
    assert first_heading("## Two\n\n# One\n") == "One"
    assert first_heading("## Two\n") == "Two"
    assert first_heading("no heading") is None


@given(st.text(alphabet="# =-\n\r`~ab\u2028\t>|", max_size=80))
def test_spans_are_ordered_and_never_overlap(text: str) -> None:
    found = headings(text)
    assert all(0 <= heading.start < heading.stop <= len(text) for heading in found)
    assert all(one.stop <= other.start for one, other in pairwise(found))
