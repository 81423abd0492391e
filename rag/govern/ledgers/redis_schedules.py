"""The rates that many machines share: on the Redis server of their ledger, by its clock. Idle ones are forgotten."""

from collections.abc import Sequence

import msgspec
import redis.asyncio as redis

from rag.govern.gcra import Verdict, meter
from rag.govern.ledgers.redis import answered
from rag.govern.schedules import Row

PREFIX = "{groundwire}:rate:"
_MICROS = 1_000_000

_MOVE = """
local rows, weight, checked = cjson.decode(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'take'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found, admits = {string.format('%.0f', now)}, true
for i, row in ipairs(rows) do
  local tat = tonumber(redis.call('GET', KEYS[i]) or now)
  found[i + 1] = string.format('%.0f', tat)
  row.tat = math.max(checked and now or tat, tat) + weight * row.step
  admits = admits and row.tat - row.tolerance - now <= 1
end
if weight ~= 0 and (admits or not checked) then
  for i, row in ipairs(rows) do
    redis.call('SET', KEYS[i], string.format('%.0f', row.tat), 'PX', math.max(1, math.ceil((row.tat - now) / 1000)))
  end
end
return found
"""


class RedisSchedules:
    """Schedules on a Redis server, shared by all who reach it."""

    def __init__(self, client: "redis.Redis") -> None:
        self._move = client.register_script(_MOVE)

    async def take(self, rows: Sequence[Row], weight: int) -> Sequence[Verdict]:
        """See the port."""
        now, *tats = await self._moved(rows, weight, "take")
        pairs = zip(rows, tats, strict=True)
        return [meter(row.rate, tat / _MICROS, now / _MICROS, weight) for row, tat in pairs]

    async def give_back(self, rows: Sequence[Row], weight: int) -> None:
        """See the port."""
        await self._moved(rows, -weight, "give back")

    async def _moved(self, rows: Sequence[Row], weight: int, how: str) -> list[int]:
        rates = [{"step": row.rate.step_s * _MICROS, "tolerance": row.rate.tolerance_s * _MICROS} for row in rows]
        keys = [PREFIX + row.name for row in rows]
        return [int(number) for number in await answered(self._move(keys, [msgspec.json.encode(rates), weight, how]))]
