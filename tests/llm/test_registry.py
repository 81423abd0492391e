"""Models that are exchanged while they are in use."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest
from msgspec.structs import replace

from llm.config import ExtractiveConfig, OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.registry import GRACE_S, open_models
from llm.routing.config import RouteConfig, RoutingConfig, TargetConfig
from rag.base.deadline import Deadline
from rag.base.errors import ConfigError
from rag.base.secret import Secret
from rag.base.types import Finished
from rag.bench.upstream.script import Script
from rag.bench.upstream.transport import SimulatedProvider
from tests.fakes import HashingEmbedder
from tests.llm.routing.targets import PROMPT, text_of
from tests.simulated import now_s, simulate

SLOW = Script(n_tokens=20, first_token_s=0.2, tokens_per_s=10)


def model(name: str, **changes) -> OpenAIConfig:
    return OpenAIConfig(**({"base_url": "http://upstream/v1", "model": name} | changes))


def catalogue(*names: str, **changes) -> Catalogue:
    route = RouteConfig(targets=tuple(TargetConfig(model=name) for name in names))
    models = {"extractive": ExtractiveConfig(), **{name: model(name, **changes) for name in names}}
    return Catalogue(models=models, routes={"r": route})


class Pools:
    """Opens pools to one simulated provider and knows which are open."""

    def __init__(self, script: Script = SLOW) -> None:
        self.provider = SimulatedProvider(script)
        self.n_open = 0
        self.n_opened = 0

    @asynccontextmanager
    async def __call__(self, max_connections: int):
        self.n_open += 1
        self.n_opened += 1
        try:
            yield self.provider
        finally:
            self.n_open -= 1

    def parts(self) -> Parts:
        return Parts(embedder=HashingEmbedder(), transport=self, clock=now_s)


async def answer(models, name: str) -> str:
    events = [event async for event in models[name].stream(PROMPT, Deadline.after(200, now_s))]
    assert isinstance(events[-1], Finished)
    return text_of(events)


def test_a_call_that_is_out_ends_with_what_it_began_with_and_then_that_is_closed():
    async def scenario():
        pools = Pools(Script(n_tokens=80, tokens_per_s=1))
        async with open_models(catalogue("a", total_timeout_s=200), pools.parts()) as models:
            long = asyncio.ensure_future(answer(models, "a"))
            await asyncio.sleep(1)
            await models.exchange(catalogue("b"))
            await asyncio.sleep(GRACE_S + 1)
            assert not long.done()
            assert pools.n_open == 2, "the call is still out"
            assert len((await long).split()) == 80
            await asyncio.sleep(0.1)
            assert pools.n_open == 1
        assert pools.n_open == 0

    simulate(scenario())


def test_what_has_not_changed_stays_with_its_connections_and_its_health():
    async def scenario():
        pools = Pools(Script())
        async with open_models(catalogue("a", "b"), pools.parts()) as models:
            kept = models.targets["a"]
            await models.exchange(catalogue("a", "c"))
            assert models.targets["a"] is kept
            assert pools.n_opened == 3
            await models.exchange(replace(catalogue("a", "c"), routing=RoutingConfig(probes=1)))
            assert models.targets["a"] is not kept, "its breaker goes by other rules now"

    simulate(scenario())


def test_a_model_that_cannot_be_opened_changes_nothing():
    async def scenario():
        pools = Pools(Script())
        async with open_models(catalogue("a"), pools.parts()) as models:
            broken = catalogue("a", "b", "c")
            broken = replace(broken, models={**broken.models, "c": model("c", api_key=Secret("line\nbreak"))})
            with pytest.raises(ConfigError):
                await models.exchange(broken)
            assert set(models) == {"extractive", "a", "r"}
            assert pools.n_open == 1
            assert await answer(models, "a")

    simulate(scenario())


def test_a_hundred_exchanges_under_load_fail_no_request():
    async def scenario():
        pools = Pools()
        results: list[str | BaseException] = []

        async def client(models, number: int) -> None:
            while now_s() < 60:
                name = "r" if number % 2 else "a"
                results.append(*(await asyncio.gather(answer(models, name), return_exceptions=True)))

        async with open_models(catalogue("a", "b", "c"), pools.parts()) as models:
            clients = [asyncio.ensure_future(client(models, number)) for number in range(20)]
            for number in range(100):
                await asyncio.sleep(0.5)
                changes = {"idle_timeout_s": 10 + number}
                names = ("a", "b", "c", "d")[: 1 + number % 4]
                await models.exchange(catalogue(*names, **changes))
            await asyncio.gather(*clients)
            assert len(results) > 300
            assert [result for result in results if isinstance(result, BaseException)] == []
            assert {len(result.split()) for result in results if isinstance(result, str)} == {SLOW.n_tokens}
            await asyncio.sleep(GRACE_S + 10)
            assert pools.n_open == len(models.targets) - 1, "what is old is closed; the extractive model has no pool"
        assert pools.n_open == 0

    simulate(scenario())


def test_who_looked_a_model_up_before_the_exchange_may_begin_after_it():
    async def scenario():
        pools = Pools(Script())
        async with open_models(catalogue("a"), pools.parts()) as models:
            looked_up = models["a"]
            await models.exchange(catalogue("b"))
            await asyncio.sleep(GRACE_S / 2)
            async with aclosing(looked_up.stream(PROMPT, Deadline.after(9, now_s))) as events:
                assert [event async for event in events]

    simulate(scenario())


def test_closing_does_not_wait_for_what_is_retiring():
    async def scenario():
        pools = Pools(Script())
        async with open_models(catalogue("a"), pools.parts()) as models:
            for name in "bcd":
                await models.exchange(catalogue(name))
        assert now_s() < 1
        assert pools.n_open == 0

    simulate(scenario())
