"""What happens at twice the load that can be borne: who is answered, how fast, and what the others are told."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from rag.base.errors import Unavailable
from rag.bench.compare import Load, Run, measured
from rag.bench.load.figures import Percentiles
from rag.bench.load.plan import Arrivals, Closed, Lane, Open, Plan, Request
from rag.bench.pace import turned
from rag.bench.process import HOST, Server

EASY, HARD = 0.8, 2.0
"""Shares of the capacity."""
BACK_WITHIN_S = 2.0
REFUSED = (429, 503)


class Timing(Struct, frozen=True, kw_only=True):
    """How many clients find the capacity, and how long each step lasts."""

    clients: int
    capacity_s: float
    easy_s: float
    hard_s: float


class Finding(Struct, frozen=True, kw_only=True):
    """One claim with its figure; `holds` is against the bound that stands in the claim."""

    claim: str
    figure: str
    holds: bool


async def overload(
    server: Server,
    requests: Sequence[Request],
    timing: Timing,
    told: Callable[[Run], None],
    measure: Callable[[Server, Load], Awaitable[Run]] = measured,
) -> tuple[list[Run], list[Finding]]:
    """The steps and what they show. Raises Unavailable when the capacity cannot be found."""
    runs: list[Run] = []

    async def step(label: str, arriving: Arrivals, seconds: float, warm_up_s: float) -> Run:
        plan = _planner(requests, arriving, seconds, warm_up_s, turn=len(runs))
        runs.append(await measure(server, Load(label, len(runs) + 1, plan)))
        told(runs[-1])
        return runs[-1]

    await step("one client", Closed(clients=1), min(3.0, timing.capacity_s), 0.5)  # lets the server learn its own speed
    capacity = (await step("capacity", Closed(clients=timing.clients), timing.capacity_s, 2.0)).figures.per_s
    if not capacity:
        raise Unavailable("nothing was answered, so there is no capacity to take twice of")
    before = await step("at 0.8", Open(per_s=EASY * capacity), timing.easy_s, 2.0)
    hard = await step("at 2.0", Open(per_s=HARD * capacity), timing.hard_s, 2.0)
    after = await step("at 0.8 again", Open(per_s=EASY * capacity), timing.easy_s, BACK_WITHIN_S)
    return runs, findings(capacity, before, hard, after)


def findings(capacity: float, before: Run, hard: Run, after: Run) -> list[Finding]:
    """What the steps show."""
    goodput = hard.figures.per_s / capacity
    slower = _p99(hard.figures.latency) / _p99(before.figures.latency)
    back = _p99(after.figures.latency) / _p99(before.figures.latency)
    grown_mib = hard.rss_mib - before.rss_mib
    refusal_ms = _p99(hard.figures.refused)
    return [
        Finding(claim="goodput at 2.0 is at least 90 % of capacity", figure=f"{goodput:.0%}", holds=goodput >= 0.9),
        Finding(
            claim="the admitted p99 at 2.0 is at most twice that at 0.8", figure=f"{slower:.2f} x", holds=slower <= 2
        ),
        Finding(
            claim="a refusal takes at most 20 ms (p99)",
            figure=f"{refusal_ms:.1f} ms of {hard.figures.n_refused}",
            holds=refusal_ms <= 20,
        ),
        Finding(
            claim="every refusal says when to come back",
            figure=f"{hard.figures.n_refused_without_wait} do not",
            holds=hard.figures.n_refused_without_wait == 0,
        ),
        Finding(
            claim="memory is flat: it grows by at most 5 %",
            figure=f"{grown_mib:+.0f} MiB",
            holds=grown_mib <= 0.05 * before.rss_mib,
        ),
        Finding(
            claim=f"{BACK_WITHIN_S:g} s later the p99 is within a half of what it was",
            figure=f"{back:.2f} x, {after.figures.n_refused} refused",
            holds=back <= 1.5,
        ),
    ]


def _planner(
    requests: Sequence[Request], arriving: Arrivals, seconds: float, warm_up_s: float, turn: int
) -> Callable[[Server, int], Plan]:
    lane = Lane(
        name="questions", requests=turned(requests, turn), arrivals=arriving, contains='"results"', refusals=REFUSED
    )
    return lambda server, run: Plan(
        host=HOST, port=server.port, lanes=(lane,), seconds=seconds, warm_up_s=warm_up_s, seed=turn + run
    )


def _p99(values: Percentiles | None) -> float:
    return values.p99 if values else 0.0
