"""Who asks for little, and that not everybody can."""

from hypothesis import given
from hypothesis import strategies as st

from rag.infer.shares import LITTLE, PERIOD_S, Shares

asked = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 100), st.floats(0, 0.2)), min_size=1, max_size=80)


@given(asked)
def test_those_who_ask_for_little_have_at_most_their_part_of_all(asked: list[tuple[str, int, float]]) -> None:
    shares, now_s, quiet, everything = Shares(), 0.0, 0, 0
    for tenant, n_tokens, later_s in asked:
        now_s += later_s
        if now_s >= PERIOD_S:
            break
        quiet += n_tokens * shares.asks_for_little(tenant, n_tokens, now_s)
        everything += n_tokens
    assert quiet <= LITTLE * everything


def test_a_tenant_by_itself_never_asks_for_little() -> None:
    shares = Shares()
    assert not any(shares.asks_for_little("a", 10, n / 10) for n in range(100))


def test_one_of_twenty_asks_for_little_until_the_others_are_gone() -> None:
    shares = Shares()
    said = [shares.asks_for_little("few" if n % 20 == 10 else "many", 10, n / 100) for n in range(1_000)]
    assert all(said[n] == (n % 20 == 10) for n in range(50, 1_000))
    assert not shares.asks_for_little("few", 10, 10 + 2 * PERIOD_S)
