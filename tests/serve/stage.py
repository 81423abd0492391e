"""A stage for the front door: services made of small stand-ins whose answers are known."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
from litestar.testing import AsyncTestClient

from llm.factory import Parts
from llm.registry import ModelRegistry
from rag.backup.taking import Taken
from rag.base.answers import Answer, Answered, AnswerEvent, Citation, Cited, Lineage, SourcesFound
from rag.base.errors import Conflict
from rag.base.health import Health
from rag.base.types import Candidate, Chunk, LegScore, Passage, Source, TextDelta, Usage
from rag.compose import Services
from rag.govern.accounts import AccountBook
from rag.govern.admission import Admission
from rag.govern.keys import KeyRing, new_key
from rag.govern.limits import Limits
from rag.govern.meters import Meters
from rag.govern.schedules import LocalSchedules
from rag.index.filters import Fields
from rag.pipeline.recent import Overlap
from rag.pipeline.search import Found
from rag.reload import Reloader
from rag.serve.app import create_app
from rag.settings import Settings
from rag.succession import Standing
from rag.telemetry.metrics import Metrics
from rag.telemetry.tracing import off
from tests.fakes import HashingEmbedder, ReversingReranker, ScriptedModel

READER_TOKEN, READER = new_key("ann", tenant="acme", groups=["staff"])
WRITER_TOKEN, WRITER = new_key("bob", tenant="acme", scopes=["read", "write"])
OTHER_TOKEN, OTHER = new_key("eve", tenant="other", scopes=["read", "write"])
ADMIN_TOKEN, ADMIN = new_key("root", tenant="acme", scopes=["admin"])
OPERATOR_TOKEN, OPERATOR = new_key("ops", tenant="ops", scopes=["operator"])
WATCHER_TOKEN, WATCHER = new_key("prometheus", tenant="acme", scopes=["metrics"])
KEYS = (READER, WRITER, OTHER, WATCHER, ADMIN, OPERATOR)
READS = {"authorization": f"Bearer {READER_TOKEN}"}
WRITES = {"authorization": f"Bearer {WRITER_TOKEN}"}
OTHERS = {"authorization": f"Bearer {OTHER_TOKEN}"}
GOVERNS = {"authorization": f"Bearer {ADMIN_TOKEN}"}
OPERATES = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
WATCHES = {"authorization": f"Bearer {WATCHER_TOKEN}"}

TEXT = "Refunds take 14 days."
CANDIDATE = Candidate(
    passage=Passage(
        chunk=Chunk(
            id="c1", document_id="d1", ordinal=0, text=TEXT, start=0, stop=21, n_tokens=6, headings=("Refunds",)
        ),
        uri="file:refunds.md",
        title="Refunds",
        version="v1",
        format="markdown",
        updated_at=datetime(2026, 1, 2, tzinfo=UTC),
    ),
    score=0.9,
    origin="rerank",
    legs=(LegScore(origin="dense", score=0.7, rank=1), LegScore(origin="bm25", score=3.2, rank=2)),
)
SOURCE = Source(
    marker=1,
    document_id="d1",
    uri="file:refunds.md",
    title="Refunds",
    text=TEXT,
    start=0,
    stop=21,
    n_tokens=6,
    headings=("Refunds",),
    candidates=(CANDIDATE,),
)
CITATION = Citation(
    marker=1,
    chunk_id="c1",
    document_id="d1",
    uri="file:refunds.md",
    title="Refunds",
    start=0,
    stop=21,
    quote=TEXT,
    verified=True,
)
USAGE = Usage(input_tokens=20, output_tokens=5)
ANSWER = Answer(
    text="14 days. [1]",
    citations=(CITATION,),
    sources=(SOURCE,),
    usage=USAGE,
    lineage=Lineage(index="i", embedder="e", reranker="r", model="m", template="answer.v1"),
    stop_reason="stop",
    stages_s={"search": 0.01},
    candidates=(CANDIDATE,),
)
EVENTS: tuple[AnswerEvent, ...] = (
    SourcesFound(sources=(SOURCE,)),
    TextDelta(text="14 days."),
    TextDelta(text=" [1]"),
    Cited(citation=CITATION),
    USAGE,
    Answered(answer=ANSWER),
)


class StageAnswerer:
    """Plays `events`, raising those that are errors; `gate` holds back all but the first. `kept` is recalled."""

    def __init__(self, events=EVENTS):
        self.events = events
        self.kept = None
        self.queries = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = asyncio.Event()
        self.closed = asyncio.Event()

    def recall(self, query):
        return self.kept

    async def answer(self, query, deadline, *, stream) -> AsyncGenerator[AnswerEvent, None]:
        self.queries.append((query, stream))
        try:
            for number, event in enumerate(self.events):
                if isinstance(event, BaseException):
                    raise event
                if number:
                    self.began.set()
                    await self.gate.wait()
                yield event
        finally:
            self.closed.set()


def found_of(*candidates, degraded=(), stages_s=None):
    return Found(
        question="Refunds?",
        vector=np.ones(1, dtype=np.float32),
        candidates=candidates,
        degraded=degraded,
        stages_s={"embed": 0.001} if stages_s is None else stages_s,
    )


class StageSearcher:
    def __init__(self, found=None):
        self.embedder = HashingEmbedder()
        self.reranker = ReversingReranker()
        self.found = found or found_of(CANDIDATE)
        self.queries = []

    async def search(self, query, deadline, *, rerank=True):
        self.queries.append((query, rerank))
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


class StageSuccession:
    def __init__(self):
        self.standing = Standing()
        self.wishes = []

    def start(self, wish):
        if self.wishes:
            raise Conflict("the index is being built anew already; wait for it or stop it")
        self.wishes.append(wish)
        self.standing = Standing(state="copying", documents=3)

    async def stop(self):
        self.standing = Standing(state="stopped", overlap=Overlap(questions=2, overlap_10=0.5))


async def exchange_nothing(settings):
    pass


TAKEN = Taken(file="backups/a.tar", version="1", made_at=datetime(2026, 1, 2, tzinfo=UTC), files=3, bytes=9)


class StageBackups:
    """Takes a backup of nothing."""

    async def take(self):
        return TAKEN


def services(**changes):
    parts = {
        "keys": KeyRing(KEYS),
        "book": AccountBook(KEYS),
        "meters": Meters(LocalSchedules()),
        "limits": Limits(),
        "admission": Admission(Limits()),
        "health": Health(),
        "fields": Fields({"year": "integer", "team": "keyword"}),
        "answerer": StageAnswerer(),
        "searcher": StageSearcher(),
        "library": None,
        "desk": None,
        "succession": StageSuccession(),
        "backups": StageBackups(),
        "parsers": None,
        "optimize": None,
        "cache": None,
        "replies": None,
        "feedback": None,
        "tracing": off(),
        "metrics": Metrics(),
        "default_model": "big",
        "count_tokens": lambda texts: [len(text.split()) + 2 for text in texts],
        "registry": ModelRegistry(Parts(embedder=HashingEmbedder()), lambda _: None),
        "reloader": Reloader(Settings(), exchange_nothing),
        "models": {"extractive": ScriptedModel("x"), "big": ScriptedModel("y")},
    }
    return Services(**parts | changes)


@asynccontextmanager
async def client_of(staged, headers=READS):
    async with AsyncTestClient(create_app(staged, version="0")) as client:
        client.headers.update(headers)
        yield client


async def until(condition):
    """Waits for what another task or thread brings about."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for: the condition is the production code's state
        await asyncio.sleep(0.001)


def events_in(text):
    """The (name, data) pairs of a stream of server-sent events; comments left out."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [tuple(line.partition(": ")[2] for line in block.split("\n")) for block in blocks]
