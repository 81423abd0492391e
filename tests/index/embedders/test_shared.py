"""Equal questions in flight are embedded once; everything else goes through as it came."""

import asyncio
from collections.abc import Sequence

import numpy as np

from rag.base.deadline import Deadline
from rag.base.ports import Vectors
from rag.base.types import Lane, Role, Work
from rag.index.embedders.shared import SharedEmbedder
from tests.fakes import HashingEmbedder


class WatchedEmbedder(HashingEmbedder):
    """Says what it was asked; the answer takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[tuple[str, ...], Role, Lane]] = []

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        self.asked.append((tuple(texts), role, work.lane))
        await asyncio.sleep(0)
        return await super().embed(texts, role, work)


def work(lane: Lane = "interactive", tenant: str = "acme") -> Work:
    return Work(tenant=tenant, deadline=Deadline.after(30), lane=lane)


async def test_equal_questions_go_in_once_and_nobody_can_spoil_the_vector_of_another() -> None:
    inner = WatchedEmbedder()
    embedder = SharedEmbedder(inner)
    assert (embedder.name, embedder.dimension) == (inner.name, inner.dimension)
    one, other, same = await asyncio.gather(
        embedder.embed(["how much"], "query", work()),
        embedder.embed(["how many"], "query", work()),
        embedder.embed(["how much"], "query", work(tenant="zeta")),
    )
    assert [texts for texts, _, _ in inner.asked] == [("how much",), ("how many",)]
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    one[:] = 0
    assert same.any()


async def test_roles_lanes_and_several_texts_are_not_shared() -> None:
    inner = WatchedEmbedder()
    embedder = SharedEmbedder(inner)
    calls = [
        (["a"], "query", work()),
        (["a"], "passage", work()),
        (["a"], "query", work("bulk")),
        (["a", "b"], "query", work()),
        (["a", "b"], "query", work()),
        ([], "query", work()),
    ]
    vectors = await asyncio.gather(*(embedder.embed(*call) for call in calls))  # type: ignore[arg-type]  # literals
    assert len(inner.asked) == len(calls)
    assert [len(one) for one in vectors] == [1, 1, 1, 2, 2, 0]
