"""Searches that wait go to the store together, equal ones once, and none follows one from before a change."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError, Unavailable
from rag.base.ports import Retrieval
from rag.base.types import Candidate, Match, Work
from rag.govern.access import managed_in
from rag.index.retriever import BatchedRetriever, equality
from tests.building import document, question
from tests.fake_store import MemoryStore

ALL = managed_in("acme")


class WatchedStore(MemoryStore):
    """Says what it was asked, and answers when it is let go on."""

    def __init__(self) -> None:
        super().__init__(dimension=32)
        self.asked: list[list[str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failure: GroundwireError | None = None

    async def search_batch(
        self, requests: Sequence[Retrieval], *, here: bool = False
    ) -> list[list[Candidate] | GroundwireError]:
        self.asked.append([request.text for request in requests])
        answers = await super().search_batch(requests, here=here)
        await self.go_on.wait()
        if self.failure:
            failure, self.failure = self.failure, None
            return [failure] * len(requests)
        return answers


def work() -> Work:
    return Work(tenant="acme", deadline=Deadline.after(30))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_searches_in_flight_run_once_and_each_has_a_list_of_its_own() -> None:
    store = WatchedStore()
    await store.put([await document("a.txt", ["words", "more words"])])
    retriever = BatchedRetriever(store)
    asked = [await question(text, ALL) for text in ("words", "more", "words", "words")]
    found = await asyncio.gather(*(retriever.retrieve(one, work()) for one in asked))
    assert store.asked == [["words", "more"]]
    assert found[0] == found[2] == found[3] != found[1]
    found[0].clear()
    assert found[2]
    await retriever.retrieve(asked[0], work())
    assert store.asked[1:] == [["words"]], "nothing is remembered"
    await retriever.aclose()


async def test_searches_that_differ_in_anything_are_not_equal() -> None:
    one = await question("words", ALL)
    replace = msgspec.structs.replace
    others = [
        replace(one, text="other"),
        replace(one, vector=one.vector * np.float32(0.5)),
        replace(one, access=managed_in("zeta")),
        replace(one, access=msgspec.structs.replace(ALL, grants=frozenset({"everyone"}))),
        replace(one, filters=(Match(field="format", any_of=("txt",)),)),
        replace(one, limit=9),
        replace(one, with_vectors=True),
    ]
    assert len({equality(one), equality(await question("words", ALL)), *map(equality, others)}) == 1 + len(others)


async def test_who_has_put_a_document_finds_it_whatever_is_in_flight() -> None:
    store = WatchedStore()
    retriever = BatchedRetriever(store)
    asked = await question("words", ALL)
    store.go_on.clear()
    early = asyncio.create_task(retriever.retrieve(asked, work()))
    await settled()
    await store.put([await document("a.txt", ["words"])])
    late = asyncio.create_task(retriever.retrieve(asked, work()))
    await settled()
    store.go_on.set()
    assert await early == []
    assert [one.passage.uri for one in await late] == ["a.txt"]
    await retriever.aclose()


async def test_a_leader_that_leaves_or_fails_does_not_fail_its_follower() -> None:
    store = WatchedStore()
    await store.put([await document("a.txt", ["words"])])
    retriever = BatchedRetriever(store)
    asked = await question("words", ALL)
    for failure in (None, Unavailable("the index failed")):
        store.go_on.clear()
        store.failure = failure
        leader, follower = (asyncio.create_task(retriever.retrieve(asked, work())) for _ in range(2))
        await settled()
        if failure is None:
            leader.cancel()
        store.go_on.set()
        assert [one.passage.uri for one in await follower] == ["a.txt"]
        with pytest.raises((asyncio.CancelledError, Unavailable)):
            await leader
    await retriever.aclose()
