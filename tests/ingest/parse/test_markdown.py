import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parse.markdown import front_matter, parse_markdown


def test_front_matter_becomes_title_and_metadata() -> None:
    parsed = parse_markdown(
        "---\r\ntitle: 'A guide'\nyear: 2024\nscore: 1.5\ndraft: false\ntags: [a, \"b\"]\nauthors:\n  - Ann\n  - Bob\n"
        "# note\n---\n# Heading\n\ntext\n"
    )
    assert parsed.title == "A guide"
    assert parsed.text == "# Heading\n\ntext\n"
    assert parsed.metadata == {
        "year": 2024,
        "score": 1.5,
        "draft": False,
        "tags": ("a", "b"),
        "authors": ("Ann", "Bob"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "---\nnested:\n  key: value\n---\ntext",
        "---\ntext: |\n  block\n---\ntext",
        "---\n{a: 1}\n---\ntext",
        "---\nnot closed: yes\n\ntext",
        "---\n\nA rule, then text.\n\n---\n",
        "text\n---\na: 1\n---\n",
    ],
)
def test_what_is_not_simple_front_matter_stays_in_the_text(text: str) -> None:
    parsed = parse_markdown(text)
    assert (parsed.text, parsed.metadata) == (text, {})


def test_title_is_the_first_heading_where_nothing_else_says_one() -> None:
    assert parse_markdown("intro\n\n# The *cat*\n").title == "The cat"
    assert parse_markdown("no heading").title == ""


def test_empty_front_matter_is_taken_off() -> None:
    assert parse_markdown("---\n---\ntext").text == "text"


@given(st.text(alphabet="-: \nabc[]\"'#1.", max_size=60))
def test_any_front_matter_is_parsed_or_left(text: str) -> None:
    entries = front_matter(text)
    assert entries is None or all(isinstance(value, str | int | float | tuple) for value in entries.values())


@given(st.text(alphabet="-: \r\nabc#", max_size=60))
def test_the_text_is_kept_to_the_letter(text: str) -> None:
    assert text.endswith(parse_markdown(text).text)
