"""What keeps the schedules of rates promises, in the process and on Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from rag.base.errors import QuotaExceeded, Unavailable
from rag.govern.allowance import Account, Allowance
from rag.govern.ledgers.redis import open_client
from rag.govern.ledgers.redis_schedules import RedisSchedules
from rag.govern.meters import Meters
from rag.govern.schedules import LocalSchedules
from tests.servers import redis_server

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(params=["local", "redis"])
async def meters(request: pytest.FixtureRequest) -> AsyncIterator[Meters]:
    if request.param == "local":
        yield Meters(LocalSchedules())
        return
    async with open_client(request.getfixturevalue("redis_url")) as client:
        yield Meters(RedisSchedules(client))


def account(**allowance: int) -> Account:
    """One that no other test uses: the server is shared."""
    return Account(uuid4().hex, Allowance(**allowance))  # type: ignore[arg-type]  # rates only


async def test_a_refusal_on_one_level_is_counted_on_none(meters: Meters) -> None:
    org, key = account(requests_per_minute=60), account(requests_per_minute=2)
    await meters.take((org, key), "requests")
    await meters.take((org, key), "requests")
    with pytest.raises(QuotaExceeded, match="may use 2 requests a minute") as refused:
        await meters.take((org, key), "requests")
    assert 25 < refused.value.retry_after_s <= 30
    standing = await meters.standing((org,), "requests")
    assert standing is not None
    assert standing.n_remaining in (58, 59), "one comes back each second"


async def test_standing_is_that_of_the_tightest_rate(meters: Meters) -> None:
    org, key = account(requests_per_minute=60), account(requests_per_minute=2)
    await meters.take((org, key), "requests")
    tightest = await meters.standing((org, key), "requests")
    assert tightest is not None
    assert (tightest.limit_per_minute, tightest.n_remaining) == (2, 1)
    assert 25 < tightest.reset_s <= 30
    assert await meters.standing((key,), "tokens") is None


async def test_tokens_that_were_not_used_can_be_taken_again(meters: Meters) -> None:
    org = account(tokens_per_minute=1_000)
    await meters.take((org,), "tokens", 1_000)
    with pytest.raises(QuotaExceeded):
        await meters.take((org,), "tokens", 500)
    await meters.give_back((org,), "tokens", 900)
    await meters.take((org,), "tokens", 900)


async def test_what_was_used_beyond_is_owed(meters: Meters) -> None:
    org = account(tokens_per_minute=1_000)
    await meters.take((org,), "tokens", 1_000)
    await meters.give_back((org,), "tokens", -1_000)
    with pytest.raises(QuotaExceeded) as refused:
        await meters.take((org,), "tokens")
    assert 55 < refused.value.retry_after_s < 61


async def test_more_than_a_minute_holds_never_passes(meters: Meters) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        await meters.take((account(tokens_per_minute=10),), "tokens", 11)
    assert refused.value.retry_after_s == float("inf")


async def test_many_at_once_get_what_there_is_and_no_more(meters: Meters) -> None:
    org = account(requests_per_minute=20)

    async def ask() -> bool:
        try:
            await meters.take((org,), "requests")
        except QuotaExceeded:
            return False
        return True

    assert sum(await asyncio.gather(*(ask() for _ in range(60)))) in (20, 21, 22), "20, and one each 3 seconds"


async def test_a_key_without_rates_is_not_metered(meters: Meters) -> None:
    free, tokens_only = account(), account(tokens_per_minute=10)
    for _ in range(100):
        await meters.take((free, tokens_only), "requests")
    assert await meters.standing((free, tokens_only), "requests") is None
    left = await meters.standing((free, tokens_only), "tokens")
    assert left is not None
    assert left.n_remaining == 10, "requests are no tokens"


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with open_client("redis://127.0.0.1:9/0") as client:
        with pytest.raises(Unavailable):
            await Meters(RedisSchedules(client)).take((account(requests_per_minute=1),), "requests")
