"""A key changes when anything changes that the answer depends on, and with nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.key import CacheKey, answer_key
from rag.base.answers import Lineage
from rag.base.types import Access, Match, Principal, Query, Turn

ANN = Principal(subject="ann", tenant="acme")
QUERY = Query(text="When?", principal=ANN, request_id="r1", history=(Turn(role="user", content="Hi"),))
ACCESS = Access(tenant="acme", grants=frozenset({"everyone", "user:ann"}))
LINEAGE = Lineage(index="edge", embedder="e@1", reranker="none", template="t#1", model="m")

QUERIES = {
    "history": [(), (Turn(role="assistant", content="Hi"),)],
    "filters": [(Match(field="format", any_of=("pdf",)),), (Match(field="format", any_of=("pdf",), negated=True),)],
    "top_k": [6],
    "model": ["big"],
    "max_tokens": [5],
    "temperature": [0.0, 1.0],
}
BESIDE = {
    "principal",
    "request_id",
    "prompt",
    "cache",
    "cache_max_age_s",
    "cache_min_similarity",
}  # the lineage has the text behind `prompt`
ACCESSES = (Access(tenant="other", grants=ACCESS.grants), Access(tenant="acme", grants=frozenset({"everyone"})))


def key(query: Query = QUERY, access: Access = ACCESS, lineage: Lineage = LINEAGE, build: str = "b") -> CacheKey:
    return answer_key(query, access, lineage, build)


def test_every_part_counts() -> None:
    keys = [key(), key(build="c"), *(key(access=access) for access in ACCESSES)]
    keys += [key(replace(QUERY, **{name: value})) for name, values in QUERIES.items() for value in values]
    keys += [key(lineage=replace(LINEAGE, **{name: "other"})) for name in Lineage.__struct_fields__]
    assert len({each.scope for each in keys}) == len({each.digest for each in keys}) == len(keys)
    assert len({each.canonical for each in keys}) == len(keys)


def test_no_field_of_a_query_was_forgotten() -> None:
    assert set(QUERIES) | BESIDE | {"text"} == set(Query.__struct_fields__), "a new field: does it change the answer?"


@given(st.text(max_size=20), st.text(max_size=20))
def test_questions_are_equal_to_the_letter_and_share_a_scope(one: str, other: str) -> None:
    first, second = key(replace(QUERY, text=one)), key(replace(QUERY, text=other))
    assert (first == second) == (one == other)
    assert first.scope == second.scope


@given(st.lists(st.text(max_size=5), max_size=5))
def test_the_order_of_grants_and_the_request_do_not_count(grants: list[str]) -> None:
    one = Access(tenant="acme", grants=frozenset(grants))
    other = Access(tenant="acme", grants=frozenset(reversed(grants)))
    again = replace(QUERY, request_id="r2", principal=replace(ANN, subject="bob"), cache="refresh", cache_max_age_s=3.0)
    assert key(access=one) == key(again, access=other)
