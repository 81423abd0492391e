import pytest

from rag.base.errors import QuotaExceeded
from rag.govern.allowance import Account, Allowance
from rag.govern.meters import Meters
from tests.clocks import HandClock

ORG = Account("acme", Allowance(requests_per_minute=60, tokens_per_minute=1_000))
KEY = Account("key:k1", Allowance(requests_per_minute=2))


def test_a_refusal_on_one_level_is_counted_on_none() -> None:
    clock = HandClock()
    meters = Meters(clock)
    meters.take((ORG, KEY), "requests")
    meters.take((ORG, KEY), "requests")
    with pytest.raises(QuotaExceeded, match="'key:k1' may use 2 requests a minute") as refused:
        meters.take((ORG, KEY), "requests")
    assert refused.value.retry_after_s == pytest.approx(30)
    org = meters.standing((ORG,), "requests")
    assert org is not None
    assert org.n_remaining == 58


def test_standing_is_that_of_the_tightest_rate() -> None:
    meters = Meters(HandClock())
    meters.take((ORG, KEY), "requests")
    tightest = meters.standing((ORG, KEY), "requests")
    assert tightest is not None
    assert (tightest.limit_per_minute, tightest.n_remaining, tightest.reset_s) == (2, 1, pytest.approx(30))
    assert meters.standing((KEY,), "tokens") is None


def test_tokens_that_were_not_used_can_be_taken_again() -> None:
    meters = Meters(HandClock())
    meters.take((ORG,), "tokens", 1_000)
    with pytest.raises(QuotaExceeded):
        meters.take((ORG,), "tokens")
    meters.give_back((ORG,), "tokens", 900)
    meters.take((ORG,), "tokens", 900)


def test_what_was_used_beyond_is_owed() -> None:
    clock = HandClock()
    meters = Meters(clock)
    meters.take((ORG,), "tokens", 1_000)
    meters.give_back((ORG,), "tokens", -1_000)
    clock.advance(60)
    with pytest.raises(QuotaExceeded):
        meters.take((ORG,), "tokens")
    clock.advance(1)
    meters.take((ORG,), "tokens")


def test_a_key_without_rates_is_not_metered() -> None:
    meters = Meters(HandClock())
    for _ in range(1_000):
        meters.take((), "requests")
    assert meters.standing((), "requests") is None
