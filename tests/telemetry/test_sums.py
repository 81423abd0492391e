"""Three who count the same calls say the same: the request log, the metrics, and the provider who sends the bill."""

import re
from contextlib import aclosing
from pathlib import Path

import pytest
from msgspec.structs import replace

from llm.config import OpenAIConfig
from llm.edition import Catalogue
from llm.factory import Parts
from llm.prices import Price
from llm.registry import open_models
from llm.routing.config import RouteConfig, TargetConfig
from llm.tariff import tariff_of
from rag.base.deadline import Deadline
from rag.base.types import Finished
from rag.bench.upstream.script import Script
from rag.bench.upstream.transport import SimulatedProvider
from rag.pipeline.answer import Answerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rag.records import requests
from rag.records.config import LogConfig, SqliteConfig
from rag.records.database import open_database
from rag.records.entry import entry_of
from rag.records.log import open_request_log
from rag.telemetry.attributes import Peer
from rag.telemetry.counted import CountedModel, ToldModel
from rag.telemetry.measured import MeasuredAnswers
from rag.telemetry.metrics import Metrics
from tests.fakes import HashingEmbedder, ReversingReranker, ScriptedModel
from tests.pipeline.test_answer import ShelfRetriever
from tests.prompts import a_prompt
from tests.shelf import Shelf
from tests.telemetry.recorded import QUESTION

PRICE = Price(input_usd_per_mtok=3.0, output_usd_per_mtok=15.0, cached_usd_per_mtok=0.3)
MODELS = {
    name: OpenAIConfig(base_url="http://upstream/v1", model=name, price=PRICE, max_connections=4)
    for name in ("first", "second")
}
ROUTE = RouteConfig(targets=(TargetConfig(model="first"), TargetConfig(model="second")), max_attempts=4)
N_ASKED, N_CALLED = 40, 20


def scripts():
    """Now and then one refuses, which costs nothing, and another one answers."""
    for number in range(10_000):
        plain = Script(n_tokens=1 + number % 7, input_tokens=50 + number)
        yield replace(plain, fault="overloaded") if number % 5 == 0 else plain


async def test_the_log_the_metrics_and_the_bill_agree(tmp_path: Path) -> None:
    provider, metrics = SimulatedProvider(queue=[*scripts()]), Metrics()

    def counted(name, config, model):
        tariff = tariff_of(config) if isinstance(config, OpenAIConfig) else None
        return CountedModel(model, metrics, Peer(kind="openai"), tariff)

    async with (
        open_database(SqliteConfig(), tmp_path) as database,
        open_request_log(database, LogConfig(), lambda *_: None) as log,
    ):

        def tell(told):
            log.add(entry_of(told))

        parts = Parts(
            embedder=HashingEmbedder(),
            transport=lambda _: opened(provider),
            wrap=counted,
            cover=lambda name, model: ToldModel(name, model, tell, lambda _: "ann"),
        )
        catalogue = Catalogue(models=MODELS, routes={"route": ROUTE})
        async with open_models(catalogue, parts) as models:
            searcher = Searcher(
                HashingEmbedder(),
                ShelfRetriever(Shelf().candidates("tower", "It was built in 1889. It is tall.", [21])),
                ReversingReranker(),
                AnswerConfig(model="route"),
            )
            known = {"route": models["route"], "extractive": ScriptedModel("Extracted. [1]")}
            config = AnswerConfig(model="route")
            recipe = Answerer(searcher, known, Profiles(config), count=len, index="shelf")
            answers = MeasuredAnswers(recipe, metrics, tell=tell)
            for number in range(N_ASKED):
                query = replace(QUESTION, request_id=f"ask{number}")
                async for _ in answers.answer(query, Deadline.after(30), stream=False):
                    pass
            for _ in range(N_CALLED):
                async with aclosing(
                    models["route"].stream(a_prompt("When?", "In 1889."), Deadline.after(30))
                ) as events:
                    async for event in events:
                        if isinstance(event, Finished):  # as the gateway does, which reads no further
                            break
        await log.flush()
        records = await database.run(lambda connection: requests.following(connection, 10_000))
    assert [record.kind for record in records].count("chat") == N_CALLED, (
        "and those within a question are not told twice"
    )
    assert len(records) == N_ASKED + N_CALLED
    assert {record.outcome for record in records} == {"answered"}
    billed = {
        "input": sum(totals.input_tokens for totals in provider.bill.totals.values()),
        "output": sum(totals.output_tokens for totals in provider.bill.totals.values()),
    }
    assert provider.bill.totals["first"].n_refused > 0
    assert billed == {
        "input": sum(record.input_tokens for record in records),
        "output": sum(record.output_tokens for record in records),
    }
    assert billed == {kind: summed(metrics, f'rag_llm_tokens_total{{kind="{kind}"') for kind in billed}
    cost_usd = (3.0 * billed["input"] + 15.0 * billed["output"]) / 1e6
    assert sum(record.cost_usd or 0.0 for record in records) == pytest.approx(cost_usd)
    assert summed(metrics, "rag_cost_usd_total") == pytest.approx(cost_usd)


def summed(metrics: Metrics, start: str) -> float:
    lines = metrics.exposition().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(re.escape(start), line))


class opened:  # noqa: N801 - used like a function
    def __init__(self, transport: SimulatedProvider) -> None:
        self.transport = transport

    async def __aenter__(self) -> SimulatedProvider:
        return self.transport

    async def __aexit__(self, *_: object) -> None:
        pass
