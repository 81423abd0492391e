"""The ledger that many machines share: Redis or Valkey. One script is one transaction there.

As durable as that server is: set `appendonly yes`, or a restart forgets what was spent since its last snapshot.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from rag.base.errors import Unavailable
from rag.govern.ledger import SETTLED_LATE_S, Balance, Purse, Reservation

PREFIX = "{groundwire}:ledger:"
"""The braces keep all keys on one shard of a cluster, where one script may reach them."""

TIMEOUT_S = 2.0
MAX_CONNECTIONS = 16

_RESERVE = """
local prefix, want = KEYS[1], cjson.decode(ARGV[1])
local amount = string.format('%d', want.amount)
for i, purse in ipairs(want.purses) do
  local balance, leases = prefix .. 'balance:' .. purse.name, prefix .. 'leases:' .. purse.name
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', ARGV[2])) do
    local held = redis.call('HGET', prefix .. 'held:' .. id, purse.name)
    if held then
      redis.call('HINCRBY', balance, 'spent', held)
      redis.call('HINCRBY', balance, 'reserved', '-' .. held)
      redis.call('HSET', prefix .. 'held:' .. id, purse.name, 'lapsed ' .. held)
    end
    redis.call('ZREM', leases, id)
  end
  local now = redis.call('HMGET', balance, 'spent', 'reserved')
  if tonumber(now[1] or 0) + tonumber(now[2] or 0) + want.amount > purse.limit then return i end
end
for _, purse in ipairs(want.purses) do
  redis.call('HINCRBY', prefix .. 'balance:' .. purse.name, 'reserved', amount)
  redis.call('ZADD', prefix .. 'leases:' .. purse.name, ARGV[3], want.id)
  redis.call('HSET', prefix .. 'held:' .. want.id, purse.name, amount)
  redis.call('SADD', prefix .. 'purses', purse.name)
end
redis.call('EXPIRE', prefix .. 'held:' .. want.id, ARGV[4])
return 0
"""

_SETTLE = """
local prefix, held = KEYS[1], redis.call('HGETALL', KEYS[1] .. 'held:' .. ARGV[1])
for i = 1, #held, 2 do
  local balance, amount = prefix .. 'balance:' .. held[i], held[i + 1]
  local lapsed = string.match(amount, 'lapsed (%d+)')
  redis.call('HINCRBY', balance, 'spent', ARGV[2])
  redis.call('HINCRBY', balance, lapsed and 'spent' or 'reserved', '-' .. (lapsed or amount))
  redis.call('ZREM', prefix .. 'leases:' .. held[i], ARGV[1])
end
redis.call('DEL', prefix .. 'held:' .. ARGV[1])
"""


@asynccontextmanager
async def open_redis_ledger(url: str) -> AsyncIterator["RedisLedger"]:
    """The ledger on this server. Connects when it is first used."""
    async with open_client(url) as client:
        yield RedisLedger(client)


@asynccontextmanager
async def open_client(url: str) -> "AsyncIterator[redis.Redis]":
    """A client that waits its turn for one of a few connections."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    try:
        yield redis.Redis(connection_pool=pool)
    finally:
        await pool.aclose()


class RedisLedger:
    """A Ledger on a Redis server, shared by all who reach it."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._reserve = client.register_script(_RESERVE)
        self._settle = client.register_script(_SETTLE)

    async def reserve(self, reservation: Reservation, now_s: float) -> Purse | None:
        """See the port."""
        want = {
            "id": reservation.id,
            "amount": reservation.microusd,
            "purses": [{"name": _name(purse), "limit": purse.limit_microusd} for purse in reservation.purses],
        }
        kept_s = int(reservation.lease_until_s - now_s + SETTLED_LATE_S)
        lacking = await answered(
            self._reserve(keys=[PREFIX], args=[msgspec.json.encode(want), now_s, reservation.lease_until_s, kept_s])
        )
        return reservation.purses[lacking - 1] if lacking else None

    async def settle(self, reservation: Reservation, microusd: int) -> None:
        """See the port."""
        await answered(self._settle(keys=[PREFIX], args=[reservation.id, microusd]))

    async def balances(self, accounts: Sequence[str]) -> list[Balance]:
        """See the port."""
        names = await answered(self._client.smembers(f"{PREFIX}purses"))
        found = []
        for account, period in sorted(tuple(name.decode().rsplit("|", 1)) for name in names):
            if accounts and account not in accounts:
                continue
            key = f"{PREFIX}balance:{account}|{period}"
            spent, reserved = await answered(self._client.hmget(key, ["spent", "reserved"]))
            found.append(
                Balance(
                    account=account,
                    period=period,
                    spent_microusd=int(spent or 0),
                    reserved_microusd=int(reserved or 0),
                )
            )
        return found


def _name(purse: Purse) -> str:
    return f"{purse.account}|{purse.period}"


async def answered(reply: Any) -> Any:
    """What the server says. The client's own types do not tell whether a call is to be awaited: here all are."""
    try:
        return await cast("Awaitable[Any]", reply)
    except (RedisError, OSError) as fault:
        raise Unavailable(f"the ledger does not answer: {type(fault).__name__}") from fault
