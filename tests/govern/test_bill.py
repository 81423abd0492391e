"""The ledger against the provider's bill: random requests through routes with retries, hedges and callers who leave."""

import math
import os
from asyncio import Semaphore, gather
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec

from llm.config import AnthropicConfig, GeminiConfig, ModelConfig, OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.prices import Price, cost_microusd
from llm.registry import ModelRegistry, open_models
from llm.routing.config import FallbackConfig, RouteConfig, RoutingConfig, TargetConfig
from llm.routing.report import AttemptReport
from llm.tariff import PriceTariff
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError
from rag.base.ports import ChatModel
from rag.base.types import Prompt, Usage
from rag.bench.upstream.bill import Bill, Line
from rag.bench.upstream.script import Script
from rag.bench.upstream.transport import SimulatedProvider
from rag.govern.accounts import AccountBook
from rag.govern.allowance import Allowance
from rag.govern.budgeted import BudgetedModel
from rag.govern.keys import new_key
from rag.govern.ledger import Balance
from rag.govern.ledgers.sqlite import open_sqlite_ledger
from tests.fakes import HashingEmbedder
from tests.prompts import a_prompt
from tests.simulated import now_s, simulate

N_REQUESTS = int(os.environ.get("GROUNDWIRE_BILL_REQUESTS", "1500"))
N_AT_ONCE = 50
KEY = msgspec.structs.replace(new_key("ann")[1], allowance=Allowance(budget_usd=1e6))
PRICE = Price(input_usd_per_mtok=3.0, output_usd_per_mtok=15.0, cached_usd_per_mtok=0.3)
PROMPT = msgspec.structs.replace(a_prompt("When?", "The embargo began in October 1973."), key_id=KEY.id)
MODELS: dict[str, ModelConfig] = {
    "gpt": OpenAIConfig(base_url="http://upstream/v1", model="gpt", price=PRICE),
    "claude": AnthropicConfig(base_url="http://upstream/v1", model="claude", price=PRICE),
    "gemini": GeminiConfig(base_url="http://upstream/v1beta", model="gemini", price=PRICE),
}


class WordTariff(PriceTariff):
    """Counts what was cut off as the simulated provider does: a word is a token."""

    def estimate(self, prompt: Prompt, written: str) -> Usage:
        return Usage(input_tokens=prompt.n_tokens, output_tokens=len(written.split()), estimated=True)


class Scripts:
    """Every request is answered by chance: mostly well, now and then with any of a provider's failures."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def popleft(self) -> Script:
        rng, n_tokens = self._rng, self._rng.randint(1, 30)
        plain = Script(
            n_tokens=n_tokens,
            input_tokens=PROMPT.n_tokens,
            first_token_s=rng.choice((0.0, 0.0, 0.05, 0.4)),
            tokens_per_s=rng.choice((0.0, 200.0)),
        )
        match rng.randrange(10):
            case 0:
                fault = rng.choice(("overloaded", "rate_limit", "server_error", "context_length", "content_policy"))
                return msgspec.structs.replace(plain, fault=fault)
            case 1:
                after = rng.choice((0, n_tokens))
                return msgspec.structs.replace(plain, fault="overloaded", in_stream=True, after_tokens=after)
            case 2:
                ending = rng.choice(("unfinished", "reset", "hang_up"))
                return msgspec.structs.replace(plain, ending=ending, after_tokens=rng.choice((0, n_tokens)))
            case 3 | 4:
                return msgspec.structs.replace(plain, cached_tokens=rng.randint(0, PROMPT.n_tokens))
            case _:
                return plain

    def __bool__(self) -> bool:
        return True


async def play(seed: int, folder: Path) -> tuple[Bill, Balance, list[AttemptReport]]:
    rng, reports = Random(seed), list[AttemptReport]()
    provider = SimulatedProvider()
    provider.prompter.queue = Scripts(rng)  # type: ignore[assignment]  # a queue without end

    @asynccontextmanager
    async def transport(_: int) -> AsyncIterator[SimulatedProvider]:
        yield provider

    book = AccountBook([KEY])
    async with open_sqlite_ledger(folder / "ledger.sqlite") as ledger:

        def budgeted(_name: str, _config: ModelConfig, model: ChatModel) -> ChatModel:
            return BudgetedModel(model, WordTariff(PRICE), ledger, book, clock=now_s, now=lambda: datetime.now(UTC))

        parts = Parts(embedder=HashingEmbedder(), transport=transport, wrap=budgeted, clock=now_s, rng=rng)
        targets = tuple(TargetConfig(model=name) for name in ("gpt", "claude"))
        routes = {
            "plain": RouteConfig(targets=targets, on=FallbackConfig(default=("gemini",), context_length=("gemini",))),
            "hedged": RouteConfig(targets=targets, hedge_after_s=0.03),
        }
        routing = RoutingConfig(failure_share=1.0, consecutive_failures=1_000, retry_tokens=1e6)
        catalogue = Catalogue(models=MODELS, routes=routes, routing=routing)
        async with open_models(catalogue, parts, reports.append) as models:
            turn = Semaphore(N_AT_ONCE)
            await gather(*(ask(models, rng, turn) for _ in range(N_REQUESTS)))
        [balance] = await ledger.balances([])
    return provider.bill, balance, reports


async def ask(models: ModelRegistry, rng: Random, turn: Semaphore) -> None:
    """One request; a third of the callers leave before the end."""
    async with turn:
        model, n_wanted = models[rng.choice(("plain", "hedged", "hedged", "gpt"))], rng.choice((math.inf, math.inf, 3))
        try:
            async with aclosing(model.stream(PROMPT, Deadline.after(60, now_s))) as events:  # type: ignore[type-var]
                n_seen = 0
                async for _ in events:
                    n_seen += 1
                    if n_seen >= n_wanted:
                        return
        except GroundwireError:
            return


def charge(line: Line) -> int:
    """What the provider asks for a request, and for one that was cancelled before its first word what we count."""
    if line.left and not line.output_tokens:
        return cost_microusd(PRICE, Usage(input_tokens=PROMPT.n_tokens, output_tokens=0))
    knew_cached = line.cached_tokens if not line.left else 0
    return cost_microusd(
        PRICE, Usage(input_tokens=line.input_tokens, output_tokens=line.output_tokens, cached_tokens=knew_cached)
    )


def test_the_ledger_is_the_providers_bill(tmp_path: Path) -> None:
    bill, balance, reports = simulate(play(seed=20261123, folder=tmp_path))
    lines = list(bill)
    assert bill.n_open == 0
    assert len(lines) > N_REQUESTS / 2
    assert sum(report.is_hedge for report in reports) > N_REQUESTS / 100  # 1.3 to 4 % by seed
    assert sum(report.number > 1 for report in reports) > N_REQUESTS / 20
    assert sum(line.left for line in lines) > N_REQUESTS / 10
    assert sum(line.cached_tokens > 0 for line in lines) > N_REQUESTS / 20
    assert balance.reserved_microusd == 0
    assert balance.spent_microusd == sum(charge(line) for line in lines)
