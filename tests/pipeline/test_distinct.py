from rag.pipeline.distinct import distinct
from tests.shelf import Shelf


def test_what_is_repeated_comes_once_and_the_order_stays() -> None:
    first = Shelf().candidates("a", "Page 1 of 9\nBody.", [12])
    second = Shelf().candidates("b", "page 1  of 9\nOther.", [13])
    assert distinct([*first, *second]) == [first[0], first[1], second[1]]
    assert distinct([]) == []
