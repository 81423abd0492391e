import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rag.base.answers import Citation, Cited
from rag.base.types import Source, TextDelta
from rag.pipeline.cite import CitationReader, located
from rag.pipeline.context import choose_context
from tests.shelf import Shelf

TEXT = "The tower was built in 1889 by Gustave Eiffel. It is 330 metres\ntall. Paint is renewed every seven years."


def sources() -> tuple[Source, ...]:
    shelf = Shelf()
    return choose_context(
        shelf.candidates("tower", TEXT, []) + shelf.candidates("other", "Nothing of the kind.", []), 500
    )


def read(pieces: list[str]) -> tuple[str, list[Citation]]:
    reader = CitationReader(sources())
    events = [event for piece in pieces for event in reader.feed(piece)]
    events += list(reader.finish())
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == reader.text
    assert [event.citation for event in events if isinstance(event, Cited)] == reader.citations
    return text, reader.citations


fragments = st.sampled_from(
    [
        "The tower was built in 1889 by Gustave Eiffel.",
        " [1]",
        "[2]",
        " [1, 2]",
        "[9]",
        " [",
        "]",
        "[x]",
        " ",
        "It is tall",
        ".",
        "[1",
    ]
)


@given(st.lists(fragments, max_size=12).map("".join), st.lists(st.integers(0, 200), max_size=8))
def test_the_same_text_gives_the_same_events_however_it_was_cut(text: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[start:stop] for start, stop in itertools.pairwise(bounds)]
    assert read(pieces) == read([text])


@given(st.text(alphabet="ab. [],019\n", max_size=60))
def test_no_marker_of_an_absent_source_is_ever_given_out(text: str) -> None:
    import re

    said, citations = read([text])
    assert {int(n) for n in re.findall(r"\[(\d+)\]", said)} <= {1, 2} | {
        int(n) for n in re.findall(r"\[(\d{4,})\]", text)
    }
    assert all(citation.marker in (1, 2) for citation in citations)


@pytest.mark.parametrize(
    ("answer", "quote", "verified"),
    [
        ("It is 330 metres tall. [1]", "It is 330 metres\ntall.", True),
        ('The source says "renewed every seven years" somewhere. [1]', "renewed every seven years.", True),
        ("Eiffel built the tower in 1889 [1].", "The tower was built in 1889 by Gustave Eiffel.", False),
    ],
)
def test_a_citation_points_at_its_support(answer: str, quote: str, verified: bool) -> None:
    _, (citation,) = read([answer])
    assert citation.quote == quote
    assert TEXT[citation.start : citation.stop] == quote
    assert citation.verified is verified
    assert citation.uri == "file:///tower"


def test_two_markers_behind_one_statement_cite_the_same_statement() -> None:
    _, citations = read(["The tower was built in 1889 by Gustave Eiffel. [1][2]"])
    assert [citation.marker for citation in citations] == [1, 2]
    assert citations[0].verified
    assert not citations[1].verified
    _, again = read(["The tower was built in 1889 by Gustave Eiffel. [2] [1]"])
    assert again[1] == citations[0]


@given(st.text(max_size=80))
def test_any_claim_gives_a_quote_that_stands_in_the_document(claim: str) -> None:
    citation = located(claim, sources()[0])
    assert TEXT[citation.start : citation.stop] == citation.quote


def test_a_citation_names_the_page_on_which_it_begins() -> None:
    (found,) = Shelf().candidates("tower", TEXT, [])
    chunk = replace(found.passage.chunk, pages=((0, 3), (TEXT.index("It is"), 4)))
    (source,) = choose_context([replace(found, passage=replace(found.passage, chunk=chunk))], 500)
    assert source.page == 3
    assert located("The tower was built in 1889 by Gustave Eiffel.", source).page == 3
    assert located("It is 330 metres tall.", source).page == 4
    assert located("The tower was built in 1889.", sources()[0]).page is None
