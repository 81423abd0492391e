"""1,000 calls at once from four processes, on one budget."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rag.govern.ledger import Balance
from tests.govern.spender import opened
from tests.servers import postgres_server, redis_server

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).resolve().parents[2]
N_PROCESSES, N_CALLS = 4, 250
LIMIT = 8_000


@pytest.mark.parametrize("server", [redis_server, postgres_server])
def test_no_budget_is_overshot(server: Callable[[], AbstractContextManager[str]]) -> None:
    with server() as url:
        command = [sys.executable, "-m", "tests.govern.spender", url, "acme", str(LIMIT), str(N_CALLS)]
        running = [
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(N_PROCESSES)
        ]
        told = [process.communicate(timeout=60) for process in running]
        assert [process.returncode for process in running] == [0] * N_PROCESSES, told
        balances = asyncio.run(balances_on(url))
    spent = sum(int(printed) for printed, _ in told)
    assert 0 < spent <= LIMIT
    assert [(one.spent_microusd, one.reserved_microusd) for one in balances] == [(spent, 0), (spent, 0)]


async def balances_on(url: str) -> list[Balance]:
    async with opened(url) as ledger:
        return await ledger.balances(["acme", "acme/team"])
