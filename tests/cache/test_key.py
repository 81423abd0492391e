"""A key changes when anything changes that the answer depends on, and with nothing else."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cache.key import Scope, answer_key
from rag.base.types import Access, Match, Principal, Query, Turn

ANN = Principal(subject="ann", tenant="acme")
QUERY = Query(text="When?", principal=ANN, request_id="r1", history=(Turn(role="user", content="Hi"),))
ACCESS = Access(tenant="acme", grants=frozenset({"everyone", "user:ann"}))
SCOPE = Scope(index="edge", epoch=7, embedder="e@1", reranker="none", template="t#1", model="m")

QUERIES = {
    "text": ["when?", "When? ", ""],
    "history": [(), (Turn(role="assistant", content="Hi"),)],
    "filters": [(Match(field="format", any_of=("pdf",)),), (Match(field="format", any_of=("pdf",), negated=True),)],
    "top_k": [6],
    "model": ["big"],
    "max_tokens": [5],
    "temperature": [0.0, 1.0],
}
SCOPES = {"index": ["other"], "epoch": [8], "embedder": ["e@2"], "reranker": ["r"], "template": ["t#2"], "model": ["n"]}


def test_every_part_counts() -> None:
    keys = [answer_key(QUERY, ACCESS, SCOPE)]
    keys += [answer_key(replace(QUERY, **{name: v}), ACCESS, SCOPE) for name, values in QUERIES.items() for v in values]
    keys += [answer_key(QUERY, ACCESS, replace(SCOPE, **{name: v})) for name, values in SCOPES.items() for v in values]
    for access in (Access(tenant="other", grants=ACCESS.grants), Access(tenant="acme", grants=frozenset({"everyone"}))):
        keys.append(answer_key(QUERY, access, SCOPE))
    assert len({key.digest for key in keys}) == len({key.canonical for key in keys}) == len(keys)


def test_no_field_of_a_query_was_forgotten() -> None:
    beside = {"principal", "request_id", "cache"}  # access stands for the principal; the others change no answer
    assert set(QUERIES) | beside == {field.name for field in msgspec.structs.fields(Query)}
    assert set(SCOPES) == {field.name for field in msgspec.structs.fields(Scope)}


@given(st.lists(st.text(max_size=5), max_size=5))
def test_the_order_of_grants_and_the_request_do_not_count(grants: list[str]) -> None:
    one = Access(tenant="acme", grants=frozenset(grants))
    other = Access(tenant="acme", grants=frozenset(reversed(grants)))
    again = replace(QUERY, request_id="r2", principal=replace(ANN, subject="bob"))
    assert answer_key(QUERY, one, SCOPE) == answer_key(again, other, SCOPE)
