"""An index is built anew when it is worn: not while someone writes a lot, and seldom when that fails."""

import asyncio
from collections.abc import Sequence

import pytest

from rag.base.errors import Conflict, Unavailable
from rag.index.wear import Wear
from rag.settings import Settings
from rag.succession import Standing, State, Wish
from rag.upkeep import EVERY_S, PATIENCE, RESTS_AFTER_FAILURE, Upkeep

WORN = Wear(n_chunks=1000, n_one_by_one=300)
NEW = Wear(n_chunks=1000)


class Index:
    """The index in use, with a wear and an epoch for each look."""

    def __init__(self, looks: Sequence[tuple[Wear | Unavailable, int]]) -> None:
        self.looks = looks
        self.at = 0
        self.n_asked = 0

    @property
    def epoch(self) -> int:
        return self.looks[self.at][1]

    async def wear(self) -> Wear:
        self.n_asked += 1
        found = self.looks[self.at][0]
        if isinstance(found, Unavailable):
            raise found
        return found


class Stage:
    """A succession that comes out as it is told to."""

    def __init__(self, index: Index, state: State = "done", *, is_busy: bool = False) -> None:
        self.settings = Settings()
        self.store = index
        self.wishes: list[tuple[int, Wish]] = []
        self._state: State = state
        self._is_busy = is_busy

    @property
    def present(self) -> "Stage":
        return self

    def start(self, wish: Wish) -> None:
        if self._is_busy:
            raise Conflict("the index is being built anew already")
        self.wishes.append((self.store.at, wish))

    async def ended(self) -> Standing:
        return Standing(state=self._state)


async def watched(stage: Stage) -> list[int]:
    """The looks at which the index was built anew."""

    async def sleep(seconds: float) -> None:
        assert seconds == EVERY_S
        stage.store.at += 1
        if stage.store.at == len(stage.store.looks):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Upkeep(stage, 100, sleep).watch()  # type: ignore[arg-type]  # what is used of a succession
    return [at for at, _ in stage.wishes]


async def test_a_worn_index_is_built_anew_with_the_vectors_that_are_there() -> None:
    stage = Stage(Index([(NEW, 1), (NEW, 1), (WORN, 2), (WORN, 2), (NEW, 3), (NEW, 3)]))
    assert await watched(stage) == [3], "not at the second, which found that somebody had just written"
    wish = stage.wishes[0][1]
    assert (wish.settings, wish.opens_embedder, wish.keeps_previous) == (stage.settings, False, False)


async def test_who_writes_on_and_on_is_not_waited_for_forever() -> None:
    much = Wear(n_chunks=1000, n_one_by_one=100 * PATIENCE)
    less = Wear(n_chunks=1000, n_one_by_one=100 * PATIENCE - 1)
    assert await watched(Stage(Index([(less, at) for at in range(9)]))) == []
    assert await watched(Stage(Index([(much, at) for at in range(4)]))) == [1]


@pytest.mark.parametrize("state", ["failed", "stopped"])
async def test_after_a_failure_and_when_it_was_stopped_it_rests(state: State) -> None:
    stage = Stage(Index([(WORN, 1)] * (RESTS_AFTER_FAILURE + 4)), state)
    assert await watched(stage) == [2, 2 + RESTS_AFTER_FAILURE]


async def test_what_building_it_anew_does_not_change_is_no_reason_to() -> None:
    few = Wear(n_chunks=300, n_one_by_one=300)
    more = Wear(n_chunks=401, n_one_by_one=401)
    assert await watched(Stage(Index([*[(few, 1)] * 9, *[(more, 2)] * 5]))) == [2, 10]


async def test_an_index_that_cannot_tell_is_asked_again() -> None:
    looks: list[tuple[Wear | Unavailable, int]] = [(Unavailable("the index is closed"), 1)] * 3
    stage = Stage(Index([*looks, (WORN, 1), (NEW, 2)]))
    assert await watched(stage) == [3]


async def test_one_that_is_built_anew_already_is_left_alone() -> None:
    stage = Stage(Index([(WORN, 1)] * 5), is_busy=True)
    assert await watched(stage) == []
    assert stage.store.n_asked == 5, "it looked, and went on looking"
