"""A bounded memory: found by key, dropped by document, the least worth out first."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.entry import Entry
from cache.memory import AnswerMemory
from tests.cache.entries import entry, key_of
from tests.serve.stage import ANSWER, CANDIDATE, SOURCE


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def about(document: str, name: str) -> Entry:
    chunk = replace(CANDIDATE.passage.chunk, document_id=document)
    candidate = replace(CANDIDATE, passage=replace(CANDIDATE.passage, chunk=chunk))
    return entry(name, answer=replace(ANSWER, sources=(replace(SOURCE, candidates=(candidate,)),)))


def test_an_answer_comes_back_with_its_age_and_without_candidates() -> None:
    clock = Clock()
    memory = AnswerMemory(10**6, clock)
    memory.put(entry("a"), epoch=1)
    clock.now_s = 5.0
    hit = memory.get(key_of("a"))
    assert hit is not None
    assert (hit.entry.answer.text, hit.age_s) == (ANSWER.text, 5.0)
    assert hit.entry.answer.candidates == ()
    assert [source.candidates for source in hit.entry.answer.sources] == [()]


def test_a_digest_alone_is_not_believed() -> None:
    memory = AnswerMemory(10**6)
    memory.put(entry("a"), epoch=1)
    assert memory.get(key_of("a", "something else")) is None


def test_an_old_answer_is_gone_and_an_impatient_caller_sees_it_go_sooner() -> None:
    clock = Clock()
    memory = AnswerMemory(10**6, clock)
    memory.put(entry("a"), epoch=1)
    clock.now_s = 30.0
    assert memory.get(key_of("a"), max_age_s=29.0) is None
    assert memory.get(key_of("a"), max_age_s=90.0) is not None
    clock.now_s = 60.0
    assert memory.get(key_of("a"), max_age_s=90.0) is None, "a caller cannot make it last longer"
    assert len(memory) == memory.n_bytes == 0


def test_a_check_holds_for_one_state_of_the_index() -> None:
    memory = AnswerMemory(10**6)
    kept = entry("a")
    memory.put(kept, epoch=1)
    assert memory.is_checked(kept, 1)
    assert not memory.is_checked(kept, 2)
    memory.check(kept, 2)
    assert memory.is_checked(kept, 2)
    memory.check(kept, None)
    assert not memory.is_checked(kept, None), "where nobody knows the state, nothing is ever checked"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3000)), max_size=40), st.integers(0, 20_000))
def test_it_never_holds_more_than_its_bound_and_of_equal_ones_the_least_used_leave_first(
    steps: list[tuple[bool, int, int]], max_bytes: int
) -> None:
    memory = AnswerMemory(max_bytes, Clock())
    model: OrderedDict[int, int] = OrderedDict()
    for puts, name, size in steps:
        made = entry(str(name), n_chars=size, cost_s=0.0)
        if puts:
            memory.put(made, epoch=1)
            model.pop(name, None)
            if made.n_bytes <= max_bytes:
                model[name] = made.n_bytes
            while sum(model.values()) > max_bytes:
                model.popitem(last=False)
        else:
            hit = memory.get(key_of(str(name)))
            assert (hit is not None) == (name in model)
            if hit:
                memory.use(hit.entry)
                model.move_to_end(name)
    assert {kept.question.text for kept in memory.entries()} == {str(name) for name in model}
    assert memory.n_bytes == sum(model.values()) <= max_bytes


def test_what_was_dear_to_make_stays_longer_but_not_forever() -> None:
    dear = entry("dear", cost_s=10.0)
    memory = AnswerMemory(3 * dear.n_bytes, Clock())
    memory.put(dear, epoch=1)
    for number in range(5):
        memory.put(entry(f"n{number}", cost_s=0.1), epoch=1)
    assert memory.get(key_of("dear")) is not None
    for number in range(300):
        memory.put(entry(f"m{number}", cost_s=0.1), epoch=1)
    assert memory.get(key_of("dear")) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=30), st.sets(st.integers(0, 4)))
def test_a_document_takes_exactly_its_dependants_along(kept: list[tuple[int, int]], gone: set[int]) -> None:
    memory = AnswerMemory(10**6)
    model: dict[int, int] = {}
    for document, name in kept:
        memory.put(about(f"d{document}", str(name)), epoch=1)
        model[name] = document
    expected = {str(name) for name, document in model.items() if document not in gone}
    assert memory.drop_documents({f"d{document}" for document in gone}) == len(model) - len(expected)
    assert {one.question.text for one in memory.entries()} == expected


@pytest.mark.parametrize("n", [1000])
def test_dropping_leaves_nothing_behind(n: int) -> None:
    memory = AnswerMemory(10**7)
    for number in range(n):
        memory.put(about("d", str(number)), epoch=1)
        memory.drop_documents(["d"])
    assert len(memory) == memory.n_bytes == 0
    assert len(memory._queue) < 100
    assert not memory._by_document
