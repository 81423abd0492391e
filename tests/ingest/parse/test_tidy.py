import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parse.tidy import tidied


@pytest.mark.parametrize(
    ("converted", "expected"),
    [
        ("| a   |  b |\n| ----- | :-----: |\n| c   |   |\n", "| a | b |\n| --- | :---: |\n| c | |\n"),
        ("Chapter 1 .............. 12", "Chapter 1 ... 12\n"),
        ("![A cat](cat.png) sat [![](x.gif)](y)", "A cat sat \n"),
        ("1\\. It\\'s 5\\% \\| \\` \\#", "1. It's 5% \\| \\` \\#\n"),
        ("a  \n\n\n\nb\x00", "a\n\nb\n"),
        ("see data:image/png;base64,iVBORw0KGgo= here", "see  here\n"),
        (" \n", ""),
    ],
)
def test_what_carries_no_words_goes(converted: str, expected: str) -> None:
    assert tidied(converted) == expected


@pytest.mark.parametrize("filler", [" ", "\t", "](", "](  <", "![a](", "| ", "data:", ". ", "\\", "[ ", "|-"])
def test_a_megabyte_of_anything_takes_no_longer_than_words(filler: str) -> None:
    tidied("x " + filler * (2**20 // len(filler)) + "x")  # would take an hour where the time grew with the square


def test_blanks_between_words_stay_and_those_at_the_end_of_a_line_go() -> None:
    assert tidied("a   b \t \n  c") == "a   b\n  c\n"


@given(st.lists(st.sampled_from(("word", "two words", "1,234", "(x)", "é")), max_size=20))
def test_words_stay(words: list[str]) -> None:
    assert tidied("\n".join(words)).split() == " ".join(words).split()
