"""Admission in simulated time: a server that ends one batch after another, and arrivals that do not wait for it."""

import heapq
import random
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from rag.base.errors import LoadError, Overloaded, QuotaExceeded
from rag.govern.admission import KNOWN, MAX_LOOKS, QUEUED, QUEUED_S, Admission, Permit
from rag.govern.limits import Limits, patient


class Server(Struct, frozen=True, kw_only=True):
    """Runs up to `max_batch` at once in `fixed_s`, and `each_s` for each of them, on each of its workers."""

    each_s: float
    fixed_s: float = 0.0
    max_batch: int = 1
    n_workers: int = 1

    @property
    def capacity(self) -> float:
        return self.n_workers * self.max_batch / (self.fixed_s + self.max_batch * self.each_s)


class Served(Struct):
    """Requests as (arrival, seconds until the answer), and when others were refused, by tenant."""

    answered: dict[str, list[tuple[float, float]]]
    refused: dict[str, list[float]]
    most_in_flight: int = 0

    def latencies(self, start_s: float, stop_s: float, tenant: str = "a") -> list[float]:
        return [latency for at, latency in self.answered[tenant] if start_s <= at < stop_s]

    def rate(self, start_s: float, stop_s: float) -> float:
        ended = (at + latency for each in self.answered.values() for at, latency in each)
        return sum(start_s <= end < stop_s for end in ended) / (stop_s - start_s)


def arrivals(rng: random.Random, loads: list[tuple[float, float]]) -> list[float]:
    """Poisson arrivals: (per second, for how long) one after the other."""
    times, began_s = [], 0.0
    for rate, seconds in loads:
        at_s = began_s
        while rate and (at_s := at_s + rng.expovariate(rate)) < began_s + seconds:
            times.append(at_s)
        began_s += seconds
    return times


def play(server: Server, loads: dict[str, list[tuple[float, float]]], limits: Limits, seed: int = 0) -> Served:
    rng, order, now_s, n_busy = random.Random(seed), count(), 0.0, 0
    admission = Admission(limits, clock=lambda: now_s)
    served = Served({tenant: [] for tenant in loads}, {tenant: [] for tenant in loads})
    events: list[Any] = [(at, next(order), tenant) for tenant in loads for at in arrivals(rng, loads[tenant])]
    heapq.heapify(events)
    waiting: list[Permit] = []
    while events:
        now_s, _, what = heapq.heappop(events)
        if isinstance(what, str):
            try:
                admission.check(what)
                waiting.append(admission.enter(what))
            except LoadError:
                served.refused[what].append(now_s)
        else:
            n_busy -= 1
            for permit in what:
                admission.leave(permit, served=True)
                served.answered[permit.tenant].append((permit.entered_s, now_s - permit.entered_s))
        served.most_in_flight = max(served.most_in_flight, admission.n_in_flight)
        while waiting and n_busy < server.n_workers:
            batch, waiting = waiting[: server.max_batch], waiting[server.max_batch :]
            n_busy += 1
            took_s = server.fixed_s + server.each_s * len(batch)
            heapq.heappush(events, (now_s + took_s, next(order), batch))
    assert admission.n_in_flight == 0
    return served


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[int(0.99 * len(latencies))]


servers = st.builds(
    Server,
    each_s=st.floats(0.001, 0.01),
    fixed_s=st.floats(0, 0.003),
    max_batch=st.sampled_from([1, 4, 16]),
    n_workers=st.sampled_from([1, 2, 8]),
).filter(lambda server: server.max_batch * server.n_workers + QUEUED <= Limits().max_in_flight)
"""Servers whose work fits into `max_in_flight`; a larger one needs a larger setting to be kept busy."""


@settings(max_examples=15)
@given(servers, st.floats(1.5, 8.0), st.integers(0, 9))
def test_more_than_it_can_do_leaves_a_server_as_fast_as_when_it_was_busy(
    server: Server, factor: float, seed: int
) -> None:
    busy, much = 0.8 * server.capacity, factor * server.capacity
    calm_s, load_s = 2_000 / busy, 4_000 / server.capacity  # what counts is how many requests, not how long it takes
    limits = Limits(max_wait_s=1e6)
    served = play(server, {"a": [(busy, calm_s), (much, load_s), (busy, calm_s)]}, limits, seed)
    settled_s = calm_s + 0.2 * load_s
    normal = p99(served.latencies(0, calm_s))
    longest = (QUEUED + 1) * server.each_s + QUEUED_S + 3 * (server.fixed_s + server.max_batch * server.each_s)
    assert served.rate(settled_s, calm_s + load_s) >= 0.9 * server.capacity
    assert p99(served.latencies(settled_s, calm_s + load_s)) <= max(2 * normal, longest)
    assert served.most_in_flight <= limits.max_in_flight


@given(st.integers(0, 99))
@settings(max_examples=10)
def test_service_is_back_to_normal_two_seconds_after_the_load(seed: int) -> None:
    server = Server(each_s=0.002)
    loads = [(400.0, 5.0), (1_000.0, 10.0), (400.0, 6.0)]
    served = play(server, {"a": loads}, Limits(), seed)
    assert served.refused["a"]
    assert not [at for at in served.refused["a"] if at > 17.0]
    assert p99(served.latencies(17.0, 21.0)) < max(0.05, 2 * p99(served.latencies(0.0, 5.0)))


def test_a_burst_is_no_overload() -> None:
    admission = Admission(Limits(max_in_flight=100), clock=lambda: 0.0)
    with ExitStack() as inside:
        for _ in range(100):
            inside.enter_context(admission.admitted("a"))
    assert (admission.limit, admission.n_in_flight) == (100, 0)


def test_a_tenant_with_most_of_the_load_leaves_room_for_another() -> None:
    server = Server(each_s=0.002)
    loads = {"loud": [(25.0, 1.0), (975.0, 59.0)], "quiet": [(25.0, 60.0)]}
    served = play(server, loads, Limits())
    assert len(served.refused["loud"]) > 20_000
    assert not [at for at in served.refused["quiet"] if at > 3.0]
    assert len(served.refused["quiet"]) < 0.02 * len(served.answered["quiet"])


def test_room_for_others_has_its_bound_too() -> None:
    admission = Admission(Limits(max_in_flight=10), clock=lambda: 0.0)
    n_admitted = 0
    with ExitStack() as inside, suppress(Overloaded):
        for _ in range(10):
            inside.enter_context(admission.admitted("loud"))
        for tenant in map(str, range(1_000)):
            inside.enter_context(admission.admitted(tenant))
            n_admitted += 1
    assert 1 <= n_admitted <= 10
    assert admission.n_in_flight == 0


def test_a_tenants_own_bound_is_its_quota() -> None:
    admission = Admission(Limits(max_in_flight_per_tenant=1), clock=lambda: 0.0)
    with admission.admitted("a"):
        with pytest.raises(QuotaExceeded, match="1 of your"), admission.admitted("a"):
            pass
        with admission.admitted("b"):
            assert admission.n_in_flight == 2
    with admission.admitted("a"):
        pass


def test_what_was_let_in_goes_on_when_all_is_full() -> None:
    admission = Admission(Limits(max_in_flight=1), clock=lambda: 0.0)
    with admission.admitted("a"), admission.continued("a"):
        assert admission.n_in_flight == 2
    assert admission.n_in_flight == 0


def test_who_leaves_or_fails_frees_the_place() -> None:
    admission = Admission(Limits(), clock=lambda: 0.0)
    for leaving in (ValueError, GeneratorExit):
        with suppress(leaving), admission.admitted("a"):
            raise leaving
    assert admission.n_in_flight == 0


def served_in(seconds: float, admission: Admission, clock: list[float]) -> None:
    with admission.admitted("a"):
        clock[0] += seconds


def test_the_predicted_wait_is_what_those_ahead_will_take() -> None:
    clock = [0.0]
    admission = Admission(Limits(max_wait_s=3.0), clock=lambda: clock[0])
    assert admission.predicted_wait_s() == 0.0
    for _ in range(KNOWN):
        served_in(1.0, admission, clock)
    with ExitStack() as inside:
        for _ in range(4):
            inside.enter_context(admission.admitted("a"))
        assert admission.predicted_wait_s() == pytest.approx(4.0)
        with pytest.raises(Overloaded) as refusal:
            admission.check("a")
        assert refusal.value.retry_after_s == pytest.approx(4.0)
    assert admission.predicted_wait_s() == 0.0
    admission.check("a")


def test_a_slow_first_request_refuses_nobody() -> None:
    clock = [0.0]
    admission = Admission(Limits(max_in_flight=50), clock=lambda: clock[0])
    served_in(3.0, admission, clock)
    with ExitStack() as inside:
        for _ in range(50):
            assert inside.enter_context(admission.admitted("a")) == "full"


def test_effort_falls_with_the_wait_and_before_anybody_is_refused() -> None:
    clock = [0.0]
    admission = Admission(Limits(degrade_wait_s=2.5, max_wait_s=60.0), clock=lambda: clock[0])
    for _ in range(KNOWN):
        served_in(1.0, admission, clock)
    efforts = []
    with ExitStack() as inside:
        for _ in range(6):
            efforts.append(inside.enter_context(admission.admitted("a")))
            clock[0] += 0.5
    assert efforts == ["full", "full", "full", "fewer", "none", "none"]


def test_looks_into_the_memory_are_as_many_as_were_served() -> None:
    clock = [0.0]
    admission = Admission(Limits(), clock=lambda: clock[0])
    assert not admission.grants_a_look()
    for _ in range(MAX_LOOKS + 5):
        served_in(0.001, admission, clock)
    assert sum(admission.grants_a_look() for _ in range(50)) == MAX_LOOKS
    served_in(0.001, admission, clock)
    assert [admission.grants_a_look() for _ in range(2)] == [True, False]


def test_who_measures_is_never_refused_nor_given_less() -> None:
    clock = [0.0]
    admission = Admission(patient(Limits()), clock=lambda: clock[0])
    for _ in range(KNOWN):
        served_in(100.0, admission, clock)
    with ExitStack() as inside:
        assert {inside.enter_context(admission.admitted("a")) for _ in range(1_000)} == {"full"}
