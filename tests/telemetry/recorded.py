"""A question recorded: the real recipe over fakes, with the spans that `rag.telemetry` puts around it."""

from collections.abc import Sequence

from msgspec.structs import replace

from cache.config import MemoryConfig
from rag.base.deadline import Deadline
from rag.base.errors import GroundwireError
from rag.base.ports import ChatModel, Retrieval
from rag.base.types import Candidate, Principal, Query, Usage
from rag.index.retriever import BatchedRetriever
from rag.pipeline.answer import Answerer
from rag.pipeline.cached import CachedAnswerer
from rag.pipeline.config import AnswerConfig
from rag.pipeline.profile import Profiles
from rag.pipeline.search import Searcher
from rag.telemetry import attributes
from rag.telemetry.attributes import Peer
from rag.telemetry.config import TracingConfig
from rag.telemetry.finished import FinishedSpan, FinishedTrace
from rag.telemetry.tracing import Tracing
from tests.fakes import HashingEmbedder, ReversingReranker, ScriptedModel
from tests.remembered import empty_memory
from tests.shelf import Shelf

ANN = Principal(subject="ann", tenant="acme")
QUESTION = Query(text="When was it built?", principal=ANN, request_id="r1")
TEXT = "It was built in 1889. It is tall. Write to ann@example.com."
REMOTE = Peer(kind="openai", address="api.example.com", port=443)


class ShelfStore:
    """Finds the same passages for everyone, in batches."""

    name = "shelf"
    epoch = 1

    def __init__(self) -> None:
        self.candidates = Shelf().candidates("tower", TEXT, [21, 33])
        self.n_calls = 0

    async def search_batch(
        self, requests: Sequence[Retrieval], *, here: bool = False
    ) -> list[list[Candidate] | GroundwireError]:
        self.n_calls += 1
        return [self.candidates[: request.limit] for request in requests]


class Recorded:
    """The recipe, and what was recorded of it."""

    def __init__(self, model: ChatModel | None = None, **config: object) -> None:
        self.kept: list[FinishedTrace] = []
        reveal = lambda text: text.replace("ann@example.com", "[EMAIL]")  # noqa: E731 - a stand-in for the redactor
        self.tracing = tracing = Tracing(TracingConfig(**config), reveal, self.kept.append)
        self.store = ShelfStore()
        self.retriever = BatchedRetriever(
            tracing.store(self.store, Peer(kind="qdrant", address="qdrant.example.com", port=6333))
        )
        searcher = Searcher(
            tracing.embedder(HashingEmbedder(), Peer(kind="onnx")),
            tracing.retriever(self.retriever, "shelf"),
            tracing.reranker(ReversingReranker(), Peer(kind="onnx")),
            AnswerConfig(model="chosen"),
        )
        models = {
            "chosen": tracing.model(model or ScriptedModel("It was built in 1889. [1]"), REMOTE, price),
            "extractive": tracing.model(ScriptedModel("Extracted. [1]"), Peer(kind="extractive")),
        }
        recipe = Answerer(searcher, models, Profiles(AnswerConfig(model="chosen")), count=len, index="shelf")
        memory = CachedAnswerer(recipe, empty_memory(MemoryConfig()), MemoryConfig(), epoch=lambda: 1)
        self.answers = tracing.answers(memory)

    async def ask(self, text: str = QUESTION.text, **changes: object) -> None:
        """Asks as the door does, within a request."""
        query, tracer = replace(QUESTION, text=text, **changes), self.tracing.tracer
        if tracer is None:
            await self._answered(query)
            return
        with tracer.request("POST /ask", "server") as span:
            span.trace.request_id, span.trace.owner = query.request_id, (ANN.tenant, ANN.subject)
            span.describe = lambda _: attributes.http("POST", "/ask", 200, query.request_id)
            await self._answered(query)

    async def _answered(self, query: Query) -> None:
        if self.answers.recall(query):
            return
        async for _ in self.answers.answer(query, Deadline.after(10), stream=True):
            pass

    async def one(self, **changes: object) -> FinishedTrace:
        """The trace of one question."""
        await self.ask(**changes)
        return self.kept[-1]


def price(usage: Usage) -> float:
    return 0.000_001 * usage.input_tokens + 0.000_002 * usage.output_tokens


def named(trace: FinishedTrace, start: str) -> list[FinishedSpan]:
    """The spans whose name starts like this."""
    return [span for span in trace.spans if span.name.startswith(start)]
