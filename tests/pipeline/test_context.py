import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rag.pipeline.context import CHARS_PER_TOKEN, SOURCE_OVERHEAD_TOKENS, choose_context
from tests.shelf import Shelf

TEXT = "".join(f"Sentence number {n} says something of its own. " for n in range(30))


@given(
    cuts=st.lists(st.integers(1, len(TEXT) - 1), unique=True, max_size=20).map(sorted),
    order=st.randoms(),
    budget=st.integers(0, 600),
)
def test_the_context_keeps_its_budget_and_repeats_no_text(cuts: Sequence[int], order: object, budget: int) -> None:
    candidates = Shelf().candidates("tower", TEXT, cuts)
    order.shuffle(candidates)  # type: ignore[attr-defined]  # hypothesis's Random
    sources = choose_context(candidates, budget)
    assert sum(source.n_tokens for source in sources) <= budget
    spans = sorted((source.start, source.stop) for source in sources)
    assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(spans)), "touching ones merged"
    for source in sources:
        assert source.text == TEXT[source.start : source.stop]
    assert [source.marker for source in sources] == list(range(1, len(sources) + 1))


@given(budget=st.integers(0, 2000))
def test_the_best_candidate_that_fits_comes_first(budget: int) -> None:
    candidates = Shelf().candidates("tower", TEXT, [40, 400, 420])
    sources = choose_context(candidates, budget)
    costs = [max(c.passage.chunk.n_tokens, len(c.passage.chunk.text) // CHARS_PER_TOKEN) for c in candidates]
    fitting = [c for c, cost in zip(candidates, costs, strict=True) if cost + SOURCE_OVERHEAD_TOKENS <= budget]
    assert bool(sources) == bool(fitting)
    if fitting:
        assert sources[0].candidates[0] == fitting[0]


def test_neighbours_become_one_source_and_equal_texts_appear_once(shelf: Shelf) -> None:
    first, second, third = shelf.candidates("tower", "One fact. Another fact. A third fact.", [10, 24])
    (copy,) = shelf.candidates("copy", "Another  fact.", [])
    sources = choose_context([second, third, copy, first], 1000)
    assert [source.text for source in sources] == ["One fact. Another fact. A third fact."]
    assert sources[0].candidates == (second, third, first)


def test_two_versions_of_a_document_are_never_merged(shelf: Shelf) -> None:
    old = shelf.candidates("tower", "One fact. Another fact.", [10])[0]
    new = shelf.candidates("tower", "One fact! Another fact!", [10], version="v2")[1]
    assert len(choose_context([old, new], 1000)) == 2


def test_a_chunk_that_its_tokenizer_undercounts_does_not_slip_in(shelf: Shelf) -> None:
    (blob,) = shelf.candidates("blob", "A" * 5_000, [])
    assert blob.passage.chunk.n_tokens == 1
    assert choose_context([blob], 400) == ()
    assert len(choose_context([blob], 1_000)) == 1
