"""Half an hour of everything at once, and whether memory stays where it was."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from rag.bench.compare import Load, Run
from rag.bench.corpus import filler, read_entries, read_questions
from rag.bench.load.plan import Lane, Open, Plan, Request
from rag.bench.overload import REFUSED, Finding
from rag.bench.pace import turned
from rag.bench.process import HOST, Server
from rag.bench.search import search_requests

WARM_UP = 1 / 6
"""The share of the time in which caches fill and models meet their longest texts; memory is held against its end."""

ASKED_PER_S, STREAMED_PER_S, SEARCHED_PER_S, CHANGED_PER_S = 10.0, 5.0, 25.0, 2.0
"""About a third of two cores."""

_N_URIS = 200
"""So many documents are written again and again with other texts, so that the index does not grow."""


def loads(collection: Path, seconds: float, n_steps: int) -> list[Load]:
    """Steps of equal length, after one that fills what is to be filled. The first lane asks without streaming."""
    questions = read_questions(collection)
    lanes = [
        (_asks(questions, stream=False), ASKED_PER_S, '"answer"'),
        (_asks(questions[::-1], stream=True), STREAMED_PER_S, "event: done"),
        (search_requests(questions, rerank=False), SEARCHED_PER_S, '"results"'),
        (_changes(collection), CHANGED_PER_S, '"id"'),
    ]
    names = ("ask", "stream", "search", "change")

    def load(label: str, step: int, lasts_s: float) -> Load:
        def plan(server: Server, run: int) -> Plan:
            made = tuple(
                Lane(
                    name=name,
                    requests=turned(requests, step),
                    arrivals=Open(per_s=per_s),
                    contains=contains,
                    refusals=REFUSED,
                )
                for name, (requests, per_s, contains) in zip(names, lanes, strict=True)
            )
            return Plan(host=HOST, port=server.port, lanes=made, seconds=lasts_s, timeout_s=60.0, seed=step + run)

        return Load(label, step, plan)

    lasts_s = seconds * (1 - WARM_UP) / n_steps
    return [load("warm-up", 0, seconds * WARM_UP), *(load(f"step {n}", n, lasts_s) for n in range(1, n_steps + 1))]


def drift(runs: Sequence[Run]) -> Finding:
    """How far memory went from where it was after the warm-up, in the steps that came then."""
    before, *later = [run.rss_mib for run in runs]
    farthest = max(later, key=lambda mib: abs(mib - before))
    share = farthest / before - 1
    return Finding(
        claim="after the warm-up memory stays within 5 %",
        figure=f"{before:.0f} MiB, then {min(later):.0f} to {max(later):.0f} ({share:+.1%})",
        holds=abs(share) <= 0.05,
    )


def _asks(questions: Sequence[str], *, stream: bool) -> tuple[Request, ...]:
    return tuple(
        Request(path="/ask", body=msgspec.json.encode({"question": question, "stream": stream}).decode())
        for question in questions
    )


def _changes(collection: Path) -> tuple[Request, ...]:
    made = filler(read_entries(collection), 5 * _N_URIS + 1)  # one more, so that a uri has another text each time round
    return tuple(
        Request(
            path="/documents",
            method="PUT",
            body=msgspec.json.encode({"uri": f"soak:{number % _N_URIS}", "text": entry.text}).decode(),
        )
        for number, entry in enumerate(made)
    )
