import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parse.pages import page_starts
from ingest.parse.parse import parse
from rag.base.pages import joined, page_at, pages_within

DOCS = Path(__file__).parents[4] / "shared" / "data" / "docs"


def words(page: int, n: int) -> str:
    return " ".join(f"word{page}x{at}" for at in range(n))


@given(st.lists(st.integers(6, 60), min_size=1, max_size=12))
def test_pages_are_found_where_their_words_begin(lengths: list[int]) -> None:
    pages = [(number, words(number, n)) for number, n in enumerate(lengths, 1)]
    text = "\n\n".join(f"# {page}" for _, page in pages)
    found = page_starts(text, pages)
    assert [number for _, number in found] == [number for number, _ in pages]
    assert all(text[start:].lstrip("# ").startswith(page) for (start, _), (_, page) in zip(found, pages, strict=True))


def test_blank_pages_are_left_out_and_headers_lead_nowhere() -> None:
    header = "The yearly report of the company 2026"
    pages = [(1, f"{header} {words(1, 80)}"), (2, ""), (3, f"{header} {words(3, 80)}"), (4, f"{header} {words(4, 80)}")]
    text = f"{header} {words(1, 80)}\n\n{words(3, 80)}\n\n{words(4, 80)}"
    found = {number: start for start, number in page_starts(text, pages)}
    assert found.keys() == {1, 3, 4}
    assert all(abs(found[number] - text.index(f"word{number}x0")) < 80 for number in (3, 4))


def test_a_page_whose_words_stand_elsewhere_begins_where_it_should() -> None:
    pages = [(1, words(1, 50)), (2, words(9, 50)), (3, words(3, 50))]
    text = "\n".join(words(number, 50) for number in (1, 2, 3))
    assert [(number, text[start:].split()[0]) for start, number in page_starts(text, pages)] == [
        (1, "word1x0"),
        (2, "word2x0"),
        (3, "word3x0"),
    ]


@given(st.lists(st.integers(1, 30), max_size=8), st.lists(st.integers(0, 200), max_size=6))
def test_parts_have_the_pages_of_the_whole(gaps: list[int], cuts: list[int]) -> None:
    pages = tuple((sum(gaps[:at]), at + 1) for at in range(len(gaps)))
    bounds = sorted({0, 201, *cuts})
    parts = [pages_within(pages, start, stop) for start, stop in itertools.pairwise(bounds)]
    assert list(joined(parts)) == [page for page in pages if page[0] < 201]
    for offset in range(0, 201, 7):
        part = next(part for part, stop in zip(parts, bounds[1:], strict=True) if offset < stop)
        assert page_at(part, offset) == page_at(pages, offset)


@pytest.mark.skipif(not DOCS.is_dir(), reason="the shared folder of real documents is not beside this repository")
@pytest.mark.parametrize(("name", "n_pages"), [("haystack__react_paper.pdf", 31), ("unstructured__fr_olap.pdf", 12)])
def test_real_pages_are_found(name: str, n_pages: int) -> None:
    parsed = parse((DOCS / name).read_bytes(), name)
    assert [number for _, number in parsed.pages] == list(range(1, n_pages + 1))
    assert [start for start, _ in parsed.pages] == sorted({start for start, _ in parsed.pages})
