from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.base.errors import Forbidden
from rag.govern.allowance import (
    Account,
    AccountPath,
    Allowance,
    Period,
    accounts_of,
    period_of,
    permit_model,
    until_next,
)

ALL: tuple[Period, ...] = ("day", "week", "month", "total")

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001 the strategy's bounds are naive


def test_a_key_draws_on_every_level_that_has_an_allowance() -> None:
    org, project = Allowance(budget_usd=100), Allowance(requests_per_minute=5)
    configured = {"acme": org, "acme/search/web": project, "other": Allowance(budget_usd=1)}
    own = Allowance(models=("fast",))
    assert accounts_of("k1", "acme/search/web", own, configured) == (
        Account("acme", org),
        Account("acme/search/web", project),
        Account("key:k1", own),
    )
    assert accounts_of("k1", None, Allowance(), configured) == ()


def test_a_model_must_be_on_every_list() -> None:
    org = Account("acme", Allowance(models=("gpt-*", "fast")))
    key = Account("key:k1", Allowance(models=("fast",)))
    permit_model([org, key, Account("any", Allowance())], "fast")
    with pytest.raises(Forbidden, match="'key:k1' may not use the model 'gpt-5'"):
        permit_model([org, key], "gpt-5")
    with pytest.raises(Forbidden, match="'acme'"):
        permit_model([org], "claude")


def test_money_is_whole_microdollars() -> None:
    assert Allowance(budget_usd=0.1).budget_microusd == 100_000
    assert Allowance(budget_usd=0).budget_microusd == 0
    assert Allowance().budget_microusd is None


@pytest.mark.parametrize("path", ["", "/", "a/b/c/d", "a//b", "a b", "a|b", "../x/y/z"])
def test_paths_have_one_to_three_plain_names(path: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(path, AccountPath)


@given(moments, st.sampled_from(ALL))
def test_a_period_ends_when_the_next_begins(now: datetime, period: Period) -> None:
    left_s = until_next(period, now)
    if left_s is None:
        assert period == "total"
        return
    end = now + timedelta(seconds=left_s)
    assert left_s > 0
    assert period_of(period, end - timedelta(microseconds=1)) == period_of(period, now)
    assert period_of(period, end) != period_of(period, now)


def test_periods_begin_in_utc_wherever_the_clock_is() -> None:
    berlin = datetime.fromisoformat("2026-12-01T00:30:00+01:00")
    assert [period_of(period, berlin) for period in ALL] == ["2026-11-30", "2026-W49", "2026-11", "total"]
