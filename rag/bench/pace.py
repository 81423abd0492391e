"""How long and how often a benchmark measures, and at which levels."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from rag.bench.compare import Load
from rag.bench.load.plan import Closed, Lane, Plan, Request
from rag.bench.process import HOST, Server

TIMEOUT_S = 120.0
"""A peer may take long with many clients, and is measured all the same."""


class Pace(Struct, frozen=True, kw_only=True):
    """Every level is measured `repeats` times for `seconds`, each after a warm-up that does not count."""

    clients: tuple[int, ...]
    seconds: float
    warm_up_s: float
    repeats: int


class Asking(Struct, frozen=True, kw_only=True):
    """What a server is asked; a good reply holds `contains`, and its first token is there with `first`."""

    requests: tuple[Request, ...]
    contains: str = ""
    first: str = ""


def closed_loops(pace: Pace, asking: Callable[[Server], Asking]) -> list[Load]:
    """A closed loop for each number of clients."""

    def load(n_clients: int) -> Load:
        def plan(server: Server, run: int) -> Plan:
            asked = asking(server)
            lane = Lane(
                name=server.name,
                requests=turned(asked.requests, run * len(pace.clients) + pace.clients.index(n_clients)),
                arrivals=Closed(clients=n_clients),
                contains=asked.contains,
                first=asked.first,
            )
            return Plan(
                host=HOST,
                port=server.port,
                lanes=(lane,),
                seconds=pace.seconds,
                warm_up_s=pace.warm_up_s,
                timeout_s=TIMEOUT_S,
                seed=run,
            )

        return Load(f"{n_clients}", n_clients, plan)

    return [load(n_clients) for n_clients in pace.clients]


def turned(requests: Sequence[Request], turn: int) -> tuple[Request, ...]:
    """The same requests from another place on: what a run asks is not what the one before has just asked."""
    at = turn * 1_009 % len(requests)
    return (*requests[at:], *requests[:at])
