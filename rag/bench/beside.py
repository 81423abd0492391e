"""A few questions beside much of something else: how much slower they are than alone."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from rag.base.errors import Unavailable
from rag.bench.compare import Load, Run, interval
from rag.bench.corpus import filler, read_entries, write_corpus
from rag.bench.load.plan import Closed, Lane, Open, Plan, Request
from rag.bench.pace import turned
from rag.bench.process import HOST, RAG, Server, run_command
from rag.bench.search import search_requests, service

Neighbour = Literal["tenant", "ingestion"]

ALONE, BESIDE = "alone", "beside"
WORST: dict[Neighbour, float] = {"tenant": 1.5, "ingestion": 1.2}
"""How much slower the p95 may be."""

_REFUSED = (429, 503)
_SETTINGS = """
[auth]
keys = [{keys}]
"""
_TENANTS = ("small", "large")
_N_DOCUMENTS = 5_000


@asynccontextmanager
async def serving(collection: Path, index: Path) -> AsyncIterator[Server]:
    """A server that holds the collection twice, for two tenants; it is indexed where that was not done before."""
    environ = {"RAG_CONFIG": str(_settings(index))}
    done = index / "both-tenants"
    if not done.exists():
        with tempfile.TemporaryDirectory(prefix="groundwire-bench-") as folder:
            corpus = Path(folder, "corpus.jsonl")
            write_corpus(collection, 0, corpus)
            for tenant in _TENANTS:
                command = (*RAG, "--data-dir", str(index), "ingest", str(corpus), "--tenant", tenant)
                await run_command(*command, environ=environ)
        done.touch()
    async with service(index, environ) as server:
        yield server


def loads(neighbour: Neighbour, collection: Path, questions: Sequence[str], per_s: float, seconds: float) -> list[Load]:
    """The questions of the one by itself, then beside the other; `per_s` is the rate of all questions together."""
    asked = search_requests(questions, rerank=False)
    share = 0.05 if neighbour == "tenant" else 1.0

    def lanes(run: int) -> list[Lane]:
        small = _lane("small", _as(_TENANTS[0], turned(asked, run)), Open(per_s=share * per_s))
        if neighbour == "tenant":
            large = Open(per_s=(1 - share) * per_s)
            return [small, _lane("large", _as(_TENANTS[1], turned(asked, run + 1)), large)]
        documents = _as(_TENANTS[1], _documents(collection, run))
        return [small, Lane(name="documents", requests=documents, arrivals=Closed(clients=1), refusals=_REFUSED)]

    def planner(n_lanes: int) -> Callable[[Server, int], Plan]:
        return lambda server, run: Plan(
            host=HOST,
            port=server.port,
            lanes=tuple(lanes(run)[:n_lanes]),
            seconds=seconds,
            warm_up_s=2.0,
            seed=run,
        )

    return [Load(ALONE, 1, planner(1)), Load(BESIDE, 2, planner(2))]


def capacity_load(questions: Sequence[str], clients: int, seconds: float) -> Load:
    """A closed loop of the tenant that sends most."""
    lane = _lane("large", _as(_TENANTS[1], search_requests(questions, rerank=False)), Closed(clients=clients))

    def plan(server: Server, run: int) -> Plan:
        return Plan(host=HOST, port=server.port, lanes=(lane,), seconds=seconds, warm_up_s=2.0, seed=run)

    return Load("capacity", 0, plan)


def slower(runs: Sequence[Run]) -> tuple[float, float, float]:
    """The p95 beside over the p95 alone, with its 95 % interval. Raises Unavailable when no run is sound."""
    alone, beside = _p95s(runs, ALONE), _p95s(runs, BESIDE)
    if not alone or not beside:
        raise Unavailable("no run is sound, so nothing can be said")
    return interval(beside, alone)


def _p95s(runs: Sequence[Run], label: str) -> list[float]:
    return [run.figures.latency.p95 for run in runs if run.load == label and not run.is_void and run.figures.latency]


def _lane(name: str, requests: tuple[Request, ...], arriving: Open | Closed) -> Lane:
    return Lane(name=name, requests=requests, arrivals=arriving, contains='"results"', refusals=_REFUSED)


def _as(tenant: str, requests: Sequence[Request]) -> tuple[Request, ...]:
    header = ("authorization", f"Bearer {_token(tenant)}")
    return tuple(msgspec.structs.replace(request, headers=(header,)) for request in requests)


def _documents(collection: Path, run: int) -> tuple[Request, ...]:
    """New documents: none has the words of another, and none comes twice."""
    made = filler(read_entries(collection), _N_DOCUMENTS, seed=run + 1)
    return tuple(
        Request(
            path="/documents",
            method="PUT",
            body=msgspec.json.encode({"uri": f"bench:{run}-{number}", "text": entry.text}).decode(),
        )
        for number, entry in enumerate(made)
    )


def _settings(index: Path) -> Path:
    index.mkdir(parents=True, exist_ok=True)
    keys = ", ".join(
        f'{{id = "{tenant}", hash = "{sha256(_token(tenant).encode()).hexdigest()}", subject = "bench", '
        f'tenant = "{tenant}", scopes = ["read", "write"]}}'
        for tenant in _TENANTS
    )
    file = index / "bench.toml"
    file.write_text(_SETTINGS.format(keys=keys), encoding="utf-8")
    return file


def _token(tenant: str) -> str:
    return f"gw_{tenant}_for-a-benchmark-only"
