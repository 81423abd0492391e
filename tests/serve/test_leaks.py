"""Clients that leave whenever they like, and deadlines that end anywhere, leave nothing behind.

Real sockets, the real recipe, queues and admission; only models and store are stand-ins that take their time. Ten
thousand requests: `LEAK_REQUESTS=10000 pytest tests/serve/test_leaks.py --timeout 900`.
"""

import asyncio
import gc
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.base.deadline import Deadline
from rag.base.ports import Vectors
from rag.base.types import ModelEvent, Prompt, Role, Work
from rag.govern.admission import Admission
from rag.govern.admitted import AdmittedModel
from rag.govern.limits import Limits
from rag.index.embedders.shared import SharedEmbedder
from rag.index.retriever import BatchedRetriever
from rag.infer.batcher import Batcher, BatchLimits, BatchReport
from rag.pipeline.answer import Answerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.prompt import load_template
from rag.pipeline.search import Searcher
from rag.pipeline.shared import SharedAnswerer
from tests.building import DIMENSION, document
from tests.fake_store import MemoryStore
from tests.fakes import HashingEmbedder, ReversingReranker, ScriptedModel
from tests.serve.stage import READS, services, until
from tests.serve.test_server import served

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(900)]

N_REQUESTS = int(os.environ.get("LEAK_REQUESTS", "400"))
N_AT_ONCE = 40
LIMITS = Limits(request_timeout_s=0.05, max_in_flight=30)


class SlowEmbedder(HashingEmbedder):
    """Queues like the real one, and takes up to 4 ms for a batch."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(DIMENSION)
        self._chance = chance
        self.batcher: Batcher[str, Vectors] = Batcher("embed", self._run, limits=BatchLimits(max_items=4))

    async def embed(self, texts: Sequence[str], role: Role, work: Work) -> Vectors:
        rows = await self.batcher.submit_all([(text, len(text)) for text in texts], work)
        return np.stack([row for row, _ in rows])

    async def _run(self, texts: list[str]) -> Sequence[Vectors]:
        await asyncio.sleep(self._chance.uniform(0, 0.004))
        work = Work(tenant="acme", deadline=Deadline.after(1))
        return list(await super().embed(texts, "query", work))


class SlowModel(ScriptedModel):
    """Pauses between its words; `n_open` says how many streams nobody has closed."""

    n_open = 0

    def __init__(self, chance: random.Random) -> None:
        super().__init__("It has a property since 1900. [1] It has no other property. " * 5)
        self._chance = chance

    async def stream(self, prompt: Prompt, deadline: Deadline) -> AsyncIterator[ModelEvent]:
        self.n_open += 1
        try:
            async for event in super().stream(prompt, deadline):
                await asyncio.sleep(self._chance.uniform(0, 0.002))
                yield event
        finally:
            self.n_open -= 1


async def ask(url: str, chance: random.Random) -> str:
    """One request over a connection of its own; what became of it."""
    path = chance.choice(["/ask", "/ask", "/search"])
    question = f"Which property has tower {chance.randrange(20)}?"  # some are equal while in flight
    body: dict[str, object] = {"query": question} if path == "/search" else {"question": question}
    if path == "/ask":
        body |= {"stream": chance.random() < 0.5, "model": chance.choice(["extractive", "big"])}
    data = json.dumps(body).encode()
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {READS['authorization']}\r\n"
    head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    try:
        writer.write(head.encode() + data[: chance.choice([len(data), len(data), len(data), 5])])
        async with asyncio.timeout(chance.choice([0, 0.002, 0.01, 0.03, 5.0, 5.0])):
            reply = await reader.read()
        return reply[9:12].decode()
    except TimeoutError:
        return "left"
    finally:
        writer.transport.abort()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open connections under /proc, which is Linux's")
async def test_nothing_is_left_of_requests_whose_clients_leave_or_whose_time_is_up() -> None:
    chance = random.Random(7)
    store, embedder, model = MemoryStore(dimension=DIMENSION), SlowEmbedder(chance), SlowModel(chance)
    await store.put([await document(f"tower {n}", [f"The tower {n} has a property since 1900."]) for n in range(20)])
    reports: list[BatchReport] = []
    admission, retriever = Admission(LIMITS), BatchedRetriever(store, reports.append)
    searcher = Searcher(SharedEmbedder(embedder), retriever, ReversingReranker(), AnswerConfig(), admission.admitted)
    models = {"extractive": AdmittedModel(SlowModel(chance), admission), "big": model}
    recipe = Answerer(searcher, models, load_template(), AnswerConfig(), count=len, index="memory")
    staged = services(
        answerer=SharedAnswerer(recipe), searcher=searcher, admission=admission, limits=LIMITS, models=models
    )
    async with served(staged) as client:
        await ask(str(client.base_url), random.Random(1))
        n_tasks, n_files = len(asyncio.all_tasks()), open_files()
        numbers = iter(range(N_REQUESTS))
        outcomes: Counter[str] = Counter()

        async def caller() -> None:
            for _ in numbers:
                outcomes[await ask(str(client.base_url), chance)] += 1

        await asyncio.gather(*(caller() for _ in range(N_AT_ONCE)))
        async with asyncio.timeout(10):
            await until(lambda: len(asyncio.all_tasks()) <= n_tasks and open_files() <= n_files)
        gc.collect()
        assert admission.n_in_flight == 0
        assert embedder.batcher.queue_depth() == 0
        assert embedder.batcher.predicted_wait_s() == 0
        assert reports[-1].n_waiting == 0
        assert model.n_open == 0
    assert {"200", "left"} <= outcomes.keys() <= {"200", "503", "504", "left"}, outcomes
    assert sum(outcomes.values()) == N_REQUESTS
    await embedder.batcher.aclose()
    await retriever.aclose()
