import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.blocks import blocks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n| x |\n|---|\n| y |\nb", ["| x |\n|---|\n| y |\n"]),
        ("```py\n| no |\n```\n| x |\r\n| y |", ["```py\n| no |\n```\n", "| x |\r\n| y |"]),
        ("~~~~\n~~~\n~~~~\n", ["~~~~\n~~~\n~~~~\n"]),
        ("```\nnever closed\n| x |", []),
        ("    | code |", []),
        ("| a |\n\n| b |\n", ["| a |\n", "| b |\n"]),
    ],
)
def test_tables_and_fences_are_blocks(text: str, expected: list[str]) -> None:
    assert [text[start:stop] for start, stop in blocks(text)] == expected


@given(st.text(alphabet="|`~\n\r ab", max_size=60))
def test_blocks_are_ordered_and_apart(text: str) -> None:
    at = 0
    for start, stop in blocks(text):
        assert at <= start < stop <= len(text)
        at = stop
