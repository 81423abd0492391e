import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.text import normalised, sentences


def split(text: str) -> list[str]:
    return [text[start:stop] for start, stop in sentences(text)]


@pytest.mark.parametrize(
    "parts",
    [
        ["It began in 1973.", "Did it end?", "Yes!", "So it was."],
        ['He said "stop."', "Nobody did."],
        ["\u201cIt is over.\u201d", "\u201cIs it?\u201d", "Yes."],
        ["It began in 1973.[5][12]", "It ended in 1974.[6]"],
        ["(It rose.)", "(It fell.)"],
        ["It fell by 3.5 percent to 1,200.50 dollars.", "Then it rose."],
        ["Dr. J. R. Smith met Mrs. Jones at St. Mary's.", "They spoke."],
        ["He lived in the U.S. Virgin Islands.", "She did not."],
        ["He left the U.S. in May.", "She stayed."],
        ["He left the U.S.", "The rest stayed."],
        ["It was founded by Apple Inc. of California.", "It closed."],
        ["It was founded by Apple Inc.", "However, it closed."],
        ["See Fig. 3 and No. 5 of Vol. 2.", "They differ."],
        ["No.", "That is wrong."],
        ["It costs more, e.g. Boston is dear.", "So it is."],
        ["The meeting is at 5 p.m. Monday.", "It ends at 6 p.m.", "The doors close then."],
        ["We sell apples, pears, etc.", "The shop is open."],
        ["Is it .NET or Node.js?", "It is both..."],
        ["Wait... what?", "Yes."],
    ],
)
def test_prose_splits_where_its_sentences_end(parts):
    assert split(" ".join(parts)) == parts
    assert split("\n".join(parts)) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("# Refunds\nWithin 30 days.\n## Shipping\nFree", ["# Refunds", "Within 30 days.", "## Shipping", "Free"]),
        ("Refunds\n=======\nWithin 30 days", ["Refunds\n=======", "Within 30 days"]),
        ("Refunds\n\nWithin 30\ndays of purchase", ["Refunds", "Within 30\ndays of purchase"]),
        ("Steps:\n- open it\n- close it\n  gently\n* stop", ["Steps:", "- open it", "- close it\n  gently", "* stop"]),
        ("1. Open it\n2) Close it\n10. Stop", ["1. Open it", "2) Close it", "10. Stop"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nAfter", ["| a | b |\n|---|---|", "| 1 | 2 |", "After"]),
        ("It grew to\n1973. The end", ["It grew to\n1973.", "The end"]),
        ("> quoted\n> again", ["> quoted", "> again"]),
        ("It is a well-\nknown fact - or\nis it", ["It is a well-\nknown fact - or\nis it"]),
        ("\u77f3\u6cb9\u3002\u5371\u673a\uff01\u5b8c", ["\u77f3\u6cb9\u3002", "\u5371\u673a\uff01", "\u5b8c"]),
        ("Odd . . . marks.\n\n***\n\nNext", ["Odd . . . marks.\n\n***", "Next"]),
        ("", []),
        (" \n\t ", []),
        ("...", ["..."]),
    ],
)
def test_structure_splits_where_its_lines_stand_alone(text, parts):
    assert split(text) == parts


_PIECES = st.sampled_from(
    [
        "The",
        "U.S.",
        "e.g.",
        "word",
        "5",
        ".",
        "!",
        "?",
        '"',
        ")",
        "[1]",
        " ",
        "\n",
        "\n\n",
        "- ",
        "# ",
        "|",
        "\u3002",
        "---",
        "p.m.",
    ]
)


@given(st.text() | st.lists(_PIECES).map("".join))
def test_spans_are_in_order_apart_trimmed_and_hold_all_that_is_not_white_space(text):
    at = 0
    for number, (start, stop) in enumerate(sentences(text)):
        assert at <= start < stop
        assert text[at:start].strip() == ""
        assert text[start:stop] == text[start:stop].strip()
        assert number == 0 or any(character.isalnum() for character in text[start:stop])
        at = stop
    assert text[at:].strip() == ""


@pytest.mark.parametrize(
    "unit", [". ", "\n", ".\n", " \n", "a.b.", "- \n", "|\n", "\"'", "[1]", "# \n ", '." ', "x " * 40 + "\n"]
)
def test_time_grows_with_the_length_of_the_text_and_not_faster(unit):
    text = "Start." + unit * (200_000 // len(unit)) + " end"
    started_s = time.process_time()
    sentences(text)
    assert time.process_time() - started_s < 2.0


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    once = normalised(text)
    assert normalised(once) == once
    assert once == once.strip()
