"""Nothing is left of requests whose clients come, leave and run out of time at random. In simulated time."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from rag.base.errors import BadDependency
from rag.base.types import Candidate
from rag.govern.admission import Admission
from rag.govern.limits import Limits
from rag.index.embedders.shared import SharedEmbedder
from rag.index.retriever import BatchedRetriever
from rag.infer.batcher import Batcher
from rag.infer.turns import BatchLimits
from rag.pipeline.config import AnswerConfig
from rag.pipeline.search import Searcher
from rag.serve.app import create_app
from rag.serve.door import Door
from rerank.none import NoReranker
from tests.serve.stage import CANDIDATE, OTHER_TOKEN, READER_TOKEN, services
from tests.simulated import now_s, simulate

N_REQUESTS = int(os.environ.get("LEAK_REQUESTS", "2000"))
PER_S = 200.0
TIME_S = 1.0


class SlowEmbedder:
    """One vector for every text, in batches that take a while."""

    name = "slow"
    dimension = 2
    max_length_tokens = 64

    def __init__(self):
        self.batcher = Batcher("embed", self._run, limits=BatchLimits(), clock=now_s)

    async def embed(self, texts, role, work):
        return np.stack([vector for vector, _ in await self.batcher.submit_all([(text, 8) for text in texts], work)])

    async def _run(self, texts):
        await asyncio.sleep(0.004 + 0.001 * len(texts))
        return [np.ones(2, dtype=np.float32) for _ in texts]


class MoodyStore:
    """Finds the same for everyone; now and then a batch takes far too long, or fails."""

    epoch = 1

    def __init__(self, draw):
        self.draw = draw

    async def search_batch(self, requests, *, here=False) -> Sequence[list[Candidate]]:
        mood = self.draw.random()
        await asyncio.sleep(8.0 if mood < 0.004 else 0.004 * len(requests))
        if mood > 0.95:
            raise BadDependency("a mood")
        return [[CANDIDATE] for _ in requests]


async def asked(app, draw):
    """What became of one request: its status, or that its client left."""
    leaving = asyncio.Event()
    body = msgspec.json.encode({"query": f"question {draw.randrange(40)}", "rerank": False})
    token = draw.choice([READER_TOKEN, READER_TOKEN, READER_TOKEN, OTHER_TOKEN])
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"content-length", str(len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/search", "raw_path": b"/search", "query_string": b""}
    scope |= {"headers": headers, "http_version": "1.1", "root_path": "", "scheme": "http", "state": {}}
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    statuses = []

    async def receive():
        if waiting:
            return waiting.pop()
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    if draw.random() < 0.4:
        asyncio.get_running_loop().call_later(draw.expovariate(50.0), leaving.set)
    await app({**scope, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}, receive, send)
    return statuses[0]


def test_no_task_place_or_batch_entry_is_left_of_any_request():
    async def scenario():
        draw = random.Random(7)
        limits = Limits(max_in_flight=48, request_timeout_s=TIME_S)
        embedder, admission = SlowEmbedder(), Admission(limits, clock=now_s)
        shared, retriever = SharedEmbedder(embedder), BatchedRetriever(MoodyStore(draw))
        searcher = Searcher(shared, retriever, NoReranker(), AnswerConfig(), admission.admitted)
        service = services(limits=limits, admission=admission, searcher=searcher)
        app = Door(create_app(service, version="0"), service)

        async def come(at_s):
            await asyncio.sleep(at_s)
            return await asked(app, draw)

        outcomes = Counter(await asyncio.gather(*(come(number / PER_S) for number in range(N_REQUESTS))))
        await asyncio.sleep(60.0)  # for batches whose callers have left
        assert set(outcomes) == {200, 499, 502, 503, 504}, "every way to end was taken"
        assert outcomes[200] > N_REQUESTS / 20
        assert (admission.n_in_flight, embedder.batcher.queue_depth(), retriever._batcher.queue_depth()) == (0, 0, 0)
        assert not shared._flights._flights
        assert not retriever._flights._flights
        assert len(asyncio.all_tasks()) == 1, "the test's own"

    simulate(scenario())
