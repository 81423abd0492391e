from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.exact import ENTRY_OVERHEAD_BYTES, ExactCache, storable
from cache.key import CacheKey
from tests.serve.stage import ANSWER


def key(name: str, canonical: str | None = None) -> CacheKey:
    return CacheKey(name.encode(), (canonical or name).encode())


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_answer_comes_back_with_its_age_and_without_candidates() -> None:
    clock = Clock()
    cache = ExactCache(10**6, 60.0, clock)
    cache.put(key("a"), ANSWER)
    clock.now_s = 5.0
    hit = cache.get(key("a"))
    assert hit is not None
    assert (hit.answer, hit.age_s) == (replace(ANSWER, candidates=()), 5.0)


def test_a_digest_alone_is_not_believed() -> None:
    cache = ExactCache(10**6, 60.0)
    cache.put(key("a"), ANSWER)
    assert cache.get(key("a", "something else")) is None


def test_an_old_answer_is_gone() -> None:
    clock = Clock()
    cache = ExactCache(10**6, 60.0, clock)
    cache.put(key("a"), ANSWER)
    clock.now_s = 60.0
    assert cache.get(key("a")) is None
    assert len(cache) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3000)), max_size=40), st.integers(0, 20_000))
def test_it_never_holds_more_than_its_bound_and_the_least_used_leave_first(
    steps: list[tuple[bool, int, int]], max_bytes: int
) -> None:
    cache = ExactCache(max_bytes, 60.0)
    model: OrderedDict[int, int] = OrderedDict()
    for puts, name, size in steps:
        answer = replace(ANSWER, text="x" * size, sources=(), citations=())
        n_bytes = ENTRY_OVERHEAD_BYTES + 1 + size
        if puts:
            cache.put(key(str(name)), answer)
            model.pop(name, None)
            if n_bytes <= max_bytes:
                model[name] = n_bytes
            while sum(model.values()) > max_bytes:
                model.popitem(last=False)
        else:
            assert (cache.get(key(str(name))) is not None) == (name in model)
            if name in model:
                model.move_to_end(name)
    assert len(cache) == len(model)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, True),
        ({"stop_reason": "insufficient_evidence"}, True),
        ({"stop_reason": "length"}, False),
        ({"stop_reason": "content_filter"}, False),
        ({"degraded": ("generate",)}, False),
    ],
)
def test_only_whole_answers_at_their_best_are_kept(changes: dict[str, object], kept: bool) -> None:
    assert storable(replace(ANSWER, **changes)) is kept
