"""What says the same comes once."""

from hypothesis import given
from hypothesis import strategies as st

from rag.base.text import normalised
from rag.pipeline.distinct import distinct
from tests.shelf import Shelf

words = st.lists(st.sampled_from(["Page", "page", "1", "\u00e9", "e\u0301", "E\u0301", "\u00df", "ss"]), max_size=4)
texts = st.lists(st.tuples(words, st.sampled_from([" ", "  ", "\n"])).map(lambda one: one[1].join(one[0])), max_size=8)


def test_what_is_repeated_comes_once_and_the_order_stays() -> None:
    first = Shelf().candidates("a", "Page 1 of 9\nBody.", [12])
    second = Shelf().candidates("b", "page 1  of 9\nOther.", [13])
    assert distinct([*first, *second]) == [first[0], first[1], second[1]]
    assert distinct([]) == []


@given(texts)
def test_texts_are_the_same_that_differ_in_white_space_and_letter_case_alone(texts: list[str]) -> None:
    candidates = [Shelf().candidates(str(number), text, [])[0] for number, text in enumerate(texts)]
    first = {}
    for candidate, text in zip(candidates, texts, strict=True):
        first.setdefault(normalised(text).casefold(), candidate)
    assert distinct(candidates) == list(first.values())
