"""Who may come in while others are being served: a pure policy over counts and a clock.

What is kept short is the queue, not the number of requests. By Little's law a server that takes `service_s` for a
request and ends `rate` of them a second has `rate x service_s` of them at work; whoever is in flight beyond that waits,
and more of them only wait longer. So there are two limits:

- calm: `max_in_flight`. A burst may queue up, and so may clients that wait for their answer before they ask again.
- crowded: those at work and `QUEUED` more. Somebody was refused and others keep coming: a longer queue would not serve
  more of them, only all of them later (Nichols and Jacobson's "bad queue", ACM Queue 10(5), 2012).

In between the limit moves like TCP's window: down with each one who is refused, up with each one who finds no queue,
which does not happen while the queue is a bad one. The gradient limiters of Netflix and Envoy compare latencies
instead, and take the longer latency of a full batch for a queue.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from rag.base.deadline import Clock
from rag.base.errors import LoadError, Overloaded, QuotaExceeded
from rag.govern.ladder import CLIMB_S, Effort, Ladder
from rag.govern.limits import Limits

QUEUED: Final = 20
QUEUED_S: Final = 0.06
"""How many may wait when crowded, or for how long if those are more: what fills the next batch while one runs. With 12
clients a `/search` needs 16 % more CPU than with 64, with 24 of them 3 % more (2 cores, medians of 3, 2026-11-23)."""

SHRINK: Final = 0.95
GROW: Final = 1.05
"""By which the limit moves for each one who is refused, and for each one who finds no queue."""

MAX_LOOKS: Final = 16
"""Requests without room that may look into the memory in a row. In the long run it is one for each that was served, so
that looking costs a small part of what serving does."""

KNOWN: Final = 32
"""Requests that must have been served before a wait is predicted: the first ones find cold caches."""

_WEIGHT: Final = 0.1
"""Of the newest service time; the rate is over about a second."""

_RATE_STEP_S: Final = 0.1


class Permit(Struct, frozen=True):
    """One piece of work that was let in, behind so many others."""

    tenant: str
    n_ahead: int
    entered_s: float


class Admission:
    """Lets requests in or refuses them. For one event loop; a decision takes a few microseconds."""

    def __init__(self, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._in_flight: dict[str, int] = {}
        self._n_in_flight = 0
        self._limit = float(limits.max_in_flight)
        self._service_s = 0.0
        self._rate = 0.0
        self._measured_s = clock()
        self._n_served = 0
        self._refused_s = float("-inf")
        self._n_looks = 0
        self._n_known = 0
        self._ladder = Ladder(clock)

    @property
    def n_in_flight(self) -> int:
        """How much is being worked on; who waits for a remote model is not among it."""
        return self._n_in_flight

    @property
    def limit(self) -> int:
        """How many requests may be worked on now."""
        return int(self._limit)

    def check(self, tenant: str) -> None:
        """Raises what `admitted` would raise now: to be asked before anything is read."""
        self._measure(self._clock())
        refusal = self._refusal(self._in_flight.get(tenant, 0))
        if refusal is not None:
            raise refusal

    @contextmanager
    def admitted(self, tenant: str) -> Iterator[Effort]:
        """Inside, a request is worked on, with so much effort.

        Raises Overloaded, or QuotaExceeded for a tenant that has as many as it may.
        """
        self.check(tenant)
        effort = self._ladder.effort(self._pressure())
        with self.continued(tenant):
            yield effort

    @contextmanager
    def continued(self, tenant: str) -> Iterator[None]:
        """Inside, work counts that nobody would be glad to see refused: the rest of a request that was let in."""
        permit = self.enter(tenant)
        served = False
        try:
            yield
            served = True
        finally:
            self.leave(permit, served=served)

    def enter(self, tenant: str) -> Permit:
        """Counts what was let in until `leave`."""
        if self._n_in_flight <= self._at_work:
            self._limit = min(self._limit * GROW, self._limits.max_in_flight)
        permit = Permit(tenant, self._n_in_flight, self._clock())
        self._in_flight[tenant] = self._in_flight.get(tenant, 0) + 1
        self._n_in_flight += 1
        return permit

    def leave(self, permit: Permit, *, served: bool) -> None:
        """Counts it no longer; only what was `served` tells how long serving takes."""
        now_s = self._clock()
        self._n_in_flight -= 1
        n_own = self._in_flight[permit.tenant] - 1
        if n_own:
            self._in_flight[permit.tenant] = n_own
        else:
            del self._in_flight[permit.tenant]
        if served:
            self._n_served += 1
            self._n_known += 1
            self._n_looks = min(self._n_looks + 1, MAX_LOOKS)
            if permit.n_ahead <= 1:  # it found nearly nobody here: what it took is service and not queue
                took_s = now_s - permit.entered_s
                self._service_s += (took_s - self._service_s) * (_WEIGHT if self._service_s else 1.0)
        self._measure(now_s)

    def grants_a_look(self) -> bool:
        """Whether one who finds no room may be answered from memory, which takes none; takes the chance if so."""
        if not self._n_looks:
            return False
        self._n_looks -= 1
        return True

    def predicted_wait_s(self) -> float:
        """How long a request that came now would wait for those before it; 0 as long as nothing is known."""
        # A server that ends one request in `service_s` ends at least so many a second, however few have come lately.
        rate = max(self._rate, 1 / self._service_s if self._service_s else 0.0)
        return self._n_in_flight / rate if rate and self._n_known >= KNOWN else 0.0

    def _pressure(self) -> float:
        """Over 1 while one waits longer than is worth it for the sake of effort, or somebody is refused."""
        refuses = self._clock() - self._refused_s < CLIMB_S
        return 2.0 if refuses else self.predicted_wait_s() / self._limits.degrade_wait_s

    def _refusal(self, n_own: int) -> LoadError | None:
        wait_s = self.predicted_wait_s()
        of_tenant = self._limits.max_in_flight_per_tenant
        if of_tenant is not None and n_own >= of_tenant:
            return QuotaExceeded(f"{n_own} of your requests are in flight, the most allowed", retry_after_s=wait_s)
        if wait_s <= self._limits.max_wait_s and (self._n_in_flight < self._limit or self._is_owed_room(n_own)):
            return None
        self._refused_s = self._clock()
        self._limit = max(min(self._crowded, self._limit), self._limit * SHRINK)
        return Overloaded(f"{self._n_in_flight} requests are in flight, as many as fit", retry_after_s=wait_s)

    @property
    def _at_work(self) -> float:
        """How many requests in flight are being served rather than waiting, while there is no queue."""
        return self._rate * self._service_s

    @property
    def _crowded(self) -> float:
        return self._at_work + max(QUEUED, self._rate * QUEUED_S)

    def _is_owed_room(self, n_own: int) -> bool:
        """Whether the tenant has less than its share of a full house. All the shares are at most one house more."""
        n_tenants = len(self._in_flight) + (n_own == 0)
        return n_tenants > 1 and (n_own + 1) * n_tenants <= self._limit

    def _measure(self, now_s: float) -> None:
        took_s = now_s - self._measured_s
        if took_s >= _RATE_STEP_S:
            self._rate += (self._n_served / took_s - self._rate) * min(1.0, took_s)
            self._measured_s, self._n_served = now_s, 0
