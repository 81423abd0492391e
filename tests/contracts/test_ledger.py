"""What every ledger promises, on SQLite, on Redis and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from rag.base.errors import Unavailable
from rag.govern.ledger import Balance, Ledger, Purse, Reservation
from rag.govern.ledgers.postgres import open_postgres_ledger
from rag.govern.ledgers.redis import open_redis_ledger
from rag.govern.ledgers.sqlite import open_sqlite_ledger
from tests.servers import postgres_server, redis_server

pytestmark = pytest.mark.sockets

NOW_S = 1_700_000_000.0
LATER_S = 4_000_000_000.0


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "redis", "postgres"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "sqlite":
                opened: Ledger = await stack.enter_async_context(open_sqlite_ledger(tmp_path / "ledger.sqlite"))
            case "redis":
                opened = await stack.enter_async_context(open_redis_ledger(request.getfixturevalue("redis_url")))
            case _:
                url = request.getfixturevalue("postgres_url")
                opened = await stack.enter_async_context(open_postgres_ledger(url))
        yield opened


@pytest.fixture
def account() -> str:
    """An account that no other test uses: the servers are shared."""
    return f"org-{uuid4().hex}"


def purse(account: str, limit: int, period: str = "2026-11") -> Purse:
    return Purse(account=account, period=period, limit_microusd=limit)


def reservation(amount: int, *purses: Purse, until_s: float = LATER_S) -> Reservation:
    return Reservation(id=uuid4().hex, purses=purses, microusd=amount, lease_until_s=until_s)


def balance(account: str, spent: int, reserved: int, period: str = "2026-11") -> Balance:
    return Balance(account=account, period=period, spent_microusd=spent, reserved_microusd=reserved)


async def test_a_reservation_is_replaced_by_what_the_call_did_cost(ledger: Ledger, account: str) -> None:
    one = reservation(70, purse(account, 100))
    assert await ledger.reserve(one, NOW_S) is None
    assert await ledger.balances([account]) == [balance(account, 0, 70)]
    await ledger.settle(one, 30)
    assert await ledger.balances([account]) == [balance(account, 30, 0)]


async def test_what_is_spent_and_reserved_is_never_over_the_budget(ledger: Ledger, account: str) -> None:
    whole = purse(account, 100)
    assert await ledger.reserve(reservation(101, whole), NOW_S) == whole
    assert await ledger.reserve(reservation(100, whole), NOW_S) is None
    assert await ledger.reserve(reservation(1, whole), NOW_S) == whole
    assert await ledger.balances([account]) == [balance(account, 0, 100)]


async def test_a_refusal_by_one_level_leaves_all_levels_as_they_were(ledger: Ledger, account: str) -> None:
    team = f"{account}/team"
    assert await ledger.reserve(reservation(5, purse(account, 100), purse(team, 8)), NOW_S) is None
    assert await ledger.reserve(reservation(5, purse(account, 100), purse(team, 8)), NOW_S) == purse(team, 8)
    assert await ledger.balances([account, team]) == [balance(account, 0, 5), balance(team, 0, 5)]


async def test_settling_again_changes_nothing(ledger: Ledger, account: str) -> None:
    one = reservation(70, purse(account, 100))
    await ledger.reserve(one, NOW_S)
    await ledger.settle(one, 30)
    await ledger.settle(one, 30)
    assert await ledger.balances([account]) == [balance(account, 30, 0)]


async def test_a_call_that_cost_more_than_was_reserved_is_counted_as_it_is(ledger: Ledger, account: str) -> None:
    one = reservation(10, purse(account, 100))
    await ledger.reserve(one, NOW_S)
    await ledger.settle(one, 250)
    assert await ledger.balances([account]) == [balance(account, 250, 0)]
    assert await ledger.reserve(reservation(0, purse(account, 100)), NOW_S) is not None


async def test_a_lease_that_ran_out_is_settled_in_full(ledger: Ledger, account: str) -> None:
    lost, whole = reservation(60, purse(account, 100), until_s=NOW_S + 10), purse(account, 100)
    await ledger.reserve(lost, NOW_S)
    assert await ledger.reserve(reservation(10, whole), NOW_S + 11) is None
    assert await ledger.balances([account]) == [balance(account, 60, 10)]
    assert await ledger.reserve(reservation(31, whole), NOW_S + 12) == whole


async def test_a_call_that_ends_after_its_lease_is_settled_at_what_it_cost(ledger: Ledger, account: str) -> None:
    late = reservation(60, purse(account, 100), until_s=NOW_S + 10)
    await ledger.reserve(late, NOW_S)
    await ledger.reserve(reservation(0, purse(account, 100)), NOW_S + 11)
    await ledger.settle(late, 20)
    await ledger.settle(late, 20)
    assert await ledger.balances([account]) == [balance(account, 20, 0)]


async def test_periods_are_counted_apart(ledger: Ledger, account: str) -> None:
    assert await ledger.reserve(reservation(100, purse(account, 100)), NOW_S) is None
    assert await ledger.reserve(reservation(100, purse(account, 100, "2026-12")), NOW_S) is None
    assert await ledger.balances([account]) == [balance(account, 0, 100), balance(account, 0, 100, "2026-12")]


async def test_many_at_once_never_overshoot(ledger: Ledger, account: str) -> None:
    team, limit = f"{account}/team", 1_000

    async def call(cost: int) -> int:
        one = reservation(40, purse(account, limit), purse(team, limit * 2))
        if await ledger.reserve(one, NOW_S) is not None:
            return 0
        await ledger.settle(one, cost)
        return cost

    costs = await asyncio.gather(*(call(n % 41) for n in range(200)))
    [whole, part] = await ledger.balances([account, team])
    assert whole.spent_microusd == part.spent_microusd == sum(costs) <= limit
    assert whole.reserved_microusd == part.reserved_microusd == 0


async def test_accounts_that_never_spent_have_no_balance(ledger: Ledger, account: str) -> None:
    assert await ledger.balances([account]) == []


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with open_redis_ledger("redis://127.0.0.1:9/0") as away:
        with pytest.raises(Unavailable):
            await away.reserve(reservation(1, purse("a", 10)), NOW_S)
    with pytest.raises(Unavailable):
        async with open_postgres_ledger("postgresql://nobody@127.0.0.1:9/none"):
            pass


async def test_a_file_that_is_no_ledger_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is a text, and a long one at that" * 100)
    with pytest.raises(Unavailable):
        async with open_sqlite_ledger(tmp_path / "ledger.sqlite"):
            pass


@pytest.mark.parametrize("n_turns", range(4))
async def test_whoever_is_cancelled_while_money_is_set_aside_leaves_none_behind(
    tmp_path: Path, account: str, n_turns: int
) -> None:
    """On a server its lease ends by itself; here it is given back at once, whenever the caller left."""
    async with open_sqlite_ledger(tmp_path / "ledger.sqlite") as ledger:
        leaving = asyncio.create_task(ledger.reserve(reservation(60, purse(account, 100)), NOW_S))
        staying = asyncio.create_task(ledger.reserve(reservation(10, purse(account, 100)), NOW_S))
        for _ in range(n_turns):
            await asyncio.sleep(0)
        leaving.cancel()
        left, _ = await asyncio.gather(leaving, staying, return_exceptions=True)
        was_told = left is None  # before it was cancelled
        assert await ledger.balances([account]) == [balance(account, 0, 70 if was_told else 10)]
        assert not was_told or n_turns == 3
