"""Which passages are read, and as what."""

from msgspec.structs import replace

from rag.base.deadline import Deadline
from rag.base.types import Work
from rerank.blend import FIRST_ROUND, NEXT_ROUND, Blend
from rerank.blended import BlendingReranker
from tests.shelf import Shelf

WORK = Work(tenant="acme", deadline=Deadline(at_s=float("inf")))
CANDIDATES = Shelf().candidates("tower", "abcdefghijklmnopqrst" * 3, list(range(3, 60, 3)))


class Reader:
    """Scores the passage that ends in `wanted` with 9, each other one lower than the one before."""

    name = "reader@1"

    def __init__(self, wanted: str = "nothing") -> None:
        self.calls: list[list[str]] = []
        self._wanted = wanted

    async def score(self, question, passages, work):
        n_read = sum(map(len, self.calls))
        self.calls.append(list(passages))
        return [9.0 if text.endswith(self._wanted) else -(n_read + at) / 100 for at, text in enumerate(passages)]


async def test_the_best_are_read_at_once_and_the_rest_keep_their_order_behind_them():
    reader = Reader()
    found = await BlendingReranker(reader, Blend(weight=0.5), depth=12).rerank("q", CANDIDATES, 15, WORK)
    assert [len(call) for call in reader.calls] == [12]
    assert [candidate.passage for candidate in found] == [candidate.passage for candidate in CANDIDATES[:15]]
    assert [candidate.origin for candidate in found] == ["blend"] * 12 + [CANDIDATES[0].origin] * 3


async def test_reading_ends_with_the_round_in_which_the_model_is_sure():
    wanted = CANDIDATES[9].passage
    reader = Reader(wanted.chunk.text)
    found = await BlendingReranker(reader, Blend(weight=0.5, temperature=1.0), depth=18).rerank(
        "q", CANDIDATES, 9, WORK
    )
    assert [len(call) for call in reader.calls] == [FIRST_ROUND, NEXT_ROUND]
    assert found[0].passage == wanted
    unsure = Reader()
    await BlendingReranker(unsure, Blend(weight=0.5, temperature=1.0), depth=18).rerank("q", CANDIDATES, 9, WORK)
    assert sum(map(len, unsure.calls)) == 18


async def test_passages_like_the_best_two_go_up_by_their_own_vectors():
    vectors = [(1.0, 0.0) if at in {0, 1, 5} else (0.0, 1.0) for at in range(6)]
    candidates = [replace(one, vector=vector) for one, vector in zip(CANDIDATES[:6], vectors, strict=True)]
    blend = Blend(weight=0.0, likeness=0.5)
    found = await BlendingReranker(Reader(), blend, depth=6).rerank("q", candidates, 6, WORK)
    order = [0, 1, 5, 2, 3, 4]
    assert [candidate.passage for candidate in found] == [CANDIDATES[at].passage for at in order]


async def test_a_passage_is_read_below_its_title_and_headings():
    candidate = CANDIDATES[0]
    chunk = replace(candidate.passage.chunk, headings=("Height",))
    passage = replace(candidate.passage, title="The tower", chunk=chunk)
    reader = Reader()
    await BlendingReranker(reader, Blend(weight=0.5), depth=3).rerank(
        "q", [replace(candidate, passage=passage)], 1, WORK
    )
    assert reader.calls == [[f"The tower > Height\n{chunk.text}"]]
