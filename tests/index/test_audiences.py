"""What a caller sees, said in few words, selects exactly what the caller's grants select."""

from hypothesis import given
from hypothesis import strategies as st

from rag.base.types import EVERYONE, Access
from rag.govern.access import permits
from rag.index.audiences import MAX_CALLERS, Audiences
from rag.index.selection import Clause, OneOf

GRANTS = [EVERYONE, "user:ann", "user:bob", "group:staff"]
tenants = st.sampled_from(["acme", "zeta"])
acls = st.frozensets(st.sampled_from(GRANTS), max_size=3)
accesses = st.builds(Access, tenant=tenants, grants=st.none() | st.frozensets(st.sampled_from([*GRANTS, "user:eve"])))


def selects(clauses: tuple[Clause, ...], tenant: str, acl: frozenset[str]) -> bool:
    held = {"tenant": {tenant}, "acl": acl}
    return all(
        any(isinstance(test, OneOf) and not held[test.path].isdisjoint(test.values) for test in clause)
        for clause in clauses
    )


@given(st.lists(st.tuples(tenants, acls, st.integers(0, 3)), max_size=8), accesses)
def test_the_clauses_select_of_what_is_there_all_that_is_permitted_and_no_more(
    stored: list[tuple[str, frozenset[str], int]], access: Access
) -> None:
    audiences = Audiences()
    for tenant, acl, n_chunks in stored:
        number = audiences.count((tenant, acl), n_chunks)
        assert audiences.count((tenant, acl), 0) == number
    sight = audiences.seen_by(access)
    assert sight.n_chunks == sum(n for tenant, acl, n in stored if permits(access, tenant, tuple(acl)))
    for tenant, acl, n_chunks in stored:
        if n_chunks:
            assert selects(sight.clauses, tenant, acl) == permits(access, tenant, tuple(acl))


def test_callers_who_see_the_same_are_asked_for_in_the_same_words() -> None:
    audiences = Audiences()
    audiences.count(("acme", frozenset({EVERYONE})), 2)
    ann, bob = (Access(tenant="acme", grants=frozenset({EVERYONE, user})) for user in ("user:ann", "user:bob"))
    assert audiences.seen_by(ann).clauses == audiences.seen_by(bob).clauses == ()
    audiences.count(("acme", frozenset({"group:staff"})), 1)
    audiences.count(("zeta", frozenset({EVERYONE})), 1)
    expected = ((OneOf("tenant", ("acme",)),), (OneOf("acl", (EVERYONE,)),))
    assert audiences.seen_by(ann).clauses == audiences.seen_by(bob).clauses == expected
    audiences.count(("acme", frozenset({"group:staff"})), -1)
    assert audiences.seen_by(ann).clauses == expected[:1]
    assert audiences.seen_by(Access(tenant="void", grants=None)).clauses == ((OneOf("tenant", ("void",)),),)


def test_no_number_of_callers_fills_the_memory() -> None:
    audiences = Audiences()
    for caller in range(MAX_CALLERS + 10):
        audiences.seen_by(Access(tenant="acme", grants=frozenset({f"user:{caller}"})))
    assert len(audiences._sights) <= MAX_CALLERS
