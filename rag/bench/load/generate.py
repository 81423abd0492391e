"""Puts a plan's load on a server and measures it."""

import asyncio
import random
from collections.abc import Iterator
from time import perf_counter, process_time

from rag.bench.load.connection import Broken, Connection
from rag.bench.load.figures import Result, Sample, figures
from rag.bench.load.plan import Closed, Lane, Open, Plan


async def generate(plan: Plan) -> Result:
    """Runs the plan. Raises nothing for a server that fails: that is a figure."""
    began_s, cpu_s = perf_counter(), process_time()
    drivers = [_Driver(plan, lane, number, began_s) for number, lane in enumerate(plan.lanes)]
    await asyncio.gather(*(driver.run() for driver in drivers))
    cpu_s, whole_s = process_time() - cpu_s, perf_counter() - began_s
    return Result(
        lanes=tuple(figures(driver.lane, plan, driver.samples, began_s) for driver in drivers),
        n_replies=sum(sample.is_good for driver in drivers for sample in driver.samples),
        whole_s=whole_s,
        cpu_s=cpu_s,
    )


def arrivals(per_s: float, until_s: float, seed: int) -> Iterator[float]:
    """The moments of a Poisson process from 0 on."""
    draw = random.Random(seed)  # noqa: S311 - a load that can be repeated
    at_s = draw.expovariate(per_s)
    while at_s < until_s:
        yield at_s
        at_s += draw.expovariate(per_s)


class _Driver:
    """One lane at work."""

    def __init__(self, plan: Plan, lane: Lane, number: int, began_s: float) -> None:
        self.lane = lane
        self.samples: list[Sample] = []
        self._plan = plan
        self._began_s = began_s
        self._stop_s = began_s + plan.warm_up_s + plan.seconds
        self._seed = plan.seed * 1009 + number
        self._requests = [request.encoded(f"{plan.host}:{plan.port}") for request in lane.requests]
        self._turn = 0
        self._idle: list[Connection] = []

    async def run(self) -> None:
        """Returns when the last request has ended."""
        try:
            match self.lane.arrivals:
                case Closed(clients=n_clients):
                    await asyncio.gather(*(self._client() for _ in range(n_clients)))
                case Open() as arriving:
                    await self._crowd(arriving)
        finally:
            for connection in self._idle:
                connection.close()

    async def _client(self) -> None:
        while (now_s := perf_counter()) < self._stop_s:
            await self._request(now_s)

    async def _crowd(self, arriving: Open) -> None:
        room = asyncio.Semaphore(arriving.max_connections)

        async def come(due_s: float) -> None:
            async with room:
                await self._request(due_s)

        async with asyncio.TaskGroup() as group:
            for at_s in arrivals(arriving.per_s, self._stop_s - self._began_s, self._seed):
                wait_s = self._began_s + at_s - perf_counter()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(come(self._began_s + at_s))

    async def _request(self, due_s: float) -> None:
        request = self._requests[self._turn % len(self._requests)]
        self._turn += 1
        sent_s = perf_counter()
        try:
            connection = await self._connection()
            reply = await connection.ask(request, self._plan.timeout_s)
        except (OSError, Broken) as error:
            kind = str(error) if isinstance(error, Broken) else "connect"
            self.samples.append(Sample(due_s, sent_s, perf_counter(), error=kind))
            await asyncio.sleep(0.01)  # a server that is gone is not asked in a tight loop
            return
        if connection.is_open:
            self._idle.append(connection)
        error_kind = ""
        if reply.status != 200 and reply.status not in self.lane.refusals:
            error_kind = f"status {reply.status}"
        elif reply.status == 200 and not reply.is_whole:
            error_kind = "incomplete"
        self.samples.append(
            Sample(
                due_s, sent_s, reply.ended_s, reply.status, error_kind, reply.first_s, reply.stall_s, reply.tells_wait
            )
        )

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        contains, first = self.lane.contains.encode(), self.lane.first.encode()
        async with asyncio.timeout(self._plan.timeout_s):
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: Connection(contains, first), self._plan.host, self._plan.port
            )
        return made
